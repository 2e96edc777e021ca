package egress

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Socket is a UDP socket to send from.
type Socket struct {
	fd      int
	inet6   bool
	segment atomic.Bool // the kernel cuts runs into datagrams
}

// NewSocket shares conn's socket. Close it before or after conn.
func NewSocket(conn *net.UDPConn) (*Socket, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &Socket{}
	var failed error
	if err := raw.Control(func(fd uintptr) {
		if s.fd, failed = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0); failed != nil {
			return
		}
		var name unix.Sockaddr
		if name, failed = unix.Getsockname(s.fd); failed == nil {
			_, s.inet6 = name.(*unix.SockaddrInet6)
		}
	}); err != nil {
		return nil, err
	}
	if failed != nil {
		if s.fd > 0 {
			_ = unix.Close(s.fd)
		}
		return nil, fmt.Errorf("share the media socket: %w", failed)
	}
	_, err = unix.GetsockoptInt(s.fd, unix.SOL_UDP, unix.UDP_SEGMENT)
	s.segment.Store(err == nil)
	return s, nil
}

// Close frees the descriptor. No batch may be in use.
func (s *Socket) Close() error { return unix.Close(s.fd) }

func (s *Socket) offload() bool { return s.segment.Load() }

// sendWait is how long a batch waits, in milliseconds, for a socket whose
// buffer is full before it gives the datagrams up.
const sendWait = 5

// message is struct mmsghdr.
type message struct {
	header unix.Msghdr
	sent   uint32
}

// controlBytes is the room of one UDP_SEGMENT control message.
const controlBytes = 24

// kernel is the argument of sendmmsg, laid out once.
type kernel struct {
	messages [maxMessages]message
	vectors  [maxMessages]unix.Iovec
	names4   [maxMessages]unix.RawSockaddrInet4
	names6   [maxMessages]unix.RawSockaddrInet6
	control  [maxMessages * controlBytes]byte
}

func (k *kernel) init() {
	for i := range k.messages {
		h := &k.messages[i].header
		h.Iov = &k.vectors[i]
		h.SetIovlen(1)
		c := (*unix.Cmsghdr)(unsafe.Pointer(&k.control[i*controlBytes]))
		c.Level, c.Type = unix.SOL_UDP, unix.UDP_SEGMENT
		c.SetLen(unix.CmsgLen(2))
	}
}

// send hands the runs of b to the kernel. It does not wait longer than
// sendWait for any of them.
//
// The system call never blocks (MSG_DONTWAIT) but takes some 100 µs, long enough
// for Go's scheduler to take the processor away from a goroutine that it knows to
// be in one, and to start a thread in its place: a quarter of all work at 600
// viewers. A raw system call is not known to it.
func (k *kernel) send(b *Batch) {
	for i := range b.runs {
		k.lay(i, &b.runs[i], b)
	}
	for next, total := 0, len(b.runs); next < total; {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(b.socket.fd),
			uintptr(unsafe.Pointer(&k.messages[next])), uintptr(total-next), unix.MSG_DONTWAIT, 0, 0)
		switch {
		case errno == 0:
			next += int(n)
		case errno == unix.EINTR:
		case errno == unix.EAGAIN && b.socket.wait():
		case errno == unix.EIO && b.runs[next].count > 1:
			// The device cannot segment: never ask again.
			b.socket.segment.Store(false)
			b.sendEach(&b.runs[next])
			next++
		case (errno == unix.EINVAL || errno == unix.EMSGSIZE) && b.runs[next].count > 1:
			// The path's MTU is below the datagrams' size: a run is refused, where
			// one datagram is cut into fragments.
			b.sendEach(&b.runs[next])
			next++
		default:
			b.Failed += uint64(b.runs[next].count)
			next++
		}
	}
}

// wait reports whether the socket takes more within sendWait.
func (s *Socket) wait() bool {
	fds := [1]unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLOUT}}
	n, err := unix.Poll(fds[:], sendWait)
	return n > 0 || errors.Is(err, unix.EINTR)
}

// lay fills in the i-th message.
func (k *kernel) lay(i int, r *run, b *Batch) {
	k.vectors[i].Base = &b.arena[r.start]
	k.vectors[i].SetLen(r.bytes)
	h := &k.messages[i].header
	h.Name, h.Namelen = k.address(i, r.dst, b.socket.inet6)
	if r.count > 1 {
		h.Control = &k.control[i*controlBytes]
		h.SetControllen(controlBytes)
		*(*uint16)(unsafe.Pointer(&k.control[i*controlBytes+unix.SizeofCmsghdr])) = uint16(r.size)
	} else {
		h.Control = nil
		h.SetControllen(0)
	}
}

func (k *kernel) address(i int, dst netip.AddrPort, inet6 bool) (*byte, uint32) {
	if !inet6 {
		n := &k.names4[i]
		n.Family, n.Addr = unix.AF_INET, dst.Addr().Unmap().As4()
		putPort(&n.Port, dst.Port())
		return (*byte)(unsafe.Pointer(n)), unix.SizeofSockaddrInet4
	}
	n := &k.names6[i]
	n.Family, n.Addr = unix.AF_INET6, dst.Addr().As16()
	putPort(&n.Port, dst.Port())
	return (*byte)(unsafe.Pointer(n)), unix.SizeofSockaddrInet6
}

// putPort writes a port in network byte order.
func putPort(field *uint16, port uint16) {
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(field))[:], port)
}

// sendEach sends the datagrams of a run one by one.
func (b *Batch) sendEach(r *run) {
	k := &kernel{}
	k.init()
	for at := 0; at < r.bytes; at += r.size {
		one := run{dst: r.dst, start: r.start + at, bytes: min(r.size, r.bytes-at), count: 1}
		k.lay(0, &one, b)
		if _, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(b.socket.fd),
			uintptr(unsafe.Pointer(&k.messages[0])), 1, unix.MSG_DONTWAIT, 0, 0); errno != 0 {
			b.Failed++
		}
	}
}
