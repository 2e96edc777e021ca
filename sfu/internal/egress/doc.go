// Package egress sends many datagrams from one UDP socket with few system
// calls: sendmmsg, and UDP segmentation offload (UDP_SEGMENT) where the kernel
// has it. Elsewhere it sends them one by one.
//
// A Batch belongs to one goroutine and allocates nothing after it was made. The
// Socket is shared: it has a file descriptor of its own for the same socket, so
// that batches do not queue for Go's per-descriptor write lock.
package egress
