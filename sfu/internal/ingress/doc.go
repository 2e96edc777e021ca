// Package ingress reads many datagrams from one UDP socket with few system
// calls: recvmmsg, and UDP receive offload (UDP_GRO) where the kernel has it.
// It hands them out one by one, in the order they came. Elsewhere it reads them
// one by one.
//
// A Conn wraps a socket that its maker opened; closing the Conn closes it. It
// starts no goroutine. It knows nothing of what the datagrams hold.
package ingress
