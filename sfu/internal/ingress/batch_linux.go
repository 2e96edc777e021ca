package ingress

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// maxMessages is how many messages one system call may bring. One is a
	// datagram, or a run of them from one sender that the kernel joined.
	maxMessages = 32
	// messageBytes holds the longest message: the kernel joins no more than a
	// datagram can hold. Memory that no message reaches is never touched.
	messageBytes = 1 << 16
	// controlBytes has room for the UDP_GRO control message and for a few that
	// the socket's maker may have asked for.
	controlBytes = 128
)

// message is struct mmsghdr.
type message struct {
	header unix.Msghdr
	bytes  uint32
}

// batch reads with recvmmsg. It belongs to the reading goroutine.
type batch struct {
	raw   syscall.RawConn
	fill  func(fd uintptr) bool // receive, bound once
	errno syscall.Errno         // its result
	ask   int                   // how many messages it asks for: one after a wait, when more are rarely there

	messages [maxMessages]message // the argument of recvmmsg, laid out once
	vectors  [maxMessages]unix.Iovec
	names    [maxMessages]unix.RawSockaddrInet6 // either family fits
	control  []byte
	arena    []byte
	zones    zones

	next, count int // messages received: which to open next, how many

	// The open message: what is left of it, the size of its datagrams but for
	// the last, which may be shorter, and who sent them.
	rest []byte
	size int
	from netip.AddrPort
}

// newBatch prepares udp's socket for a batch. It returns nil if the kernel does
// not have recvmmsg.
func newBatch(udp *net.UDPConn) reader {
	raw, err := udp.SyscallConn()
	if err != nil {
		return nil
	}
	missing := false
	if err := raw.Control(func(fd uintptr) {
		// Without room for a message the call only looks at the socket.
		_, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, 0, 0, unix.MSG_DONTWAIT, 0, 0)
		if missing = errno == unix.ENOSYS || errno == unix.EPERM; !missing {
			// Old kernels refuse, and then join nothing.
			_ = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_GRO, 1)
		}
	}); err != nil || missing {
		return nil
	}
	r := &batch{
		raw: raw, ask: maxMessages,
		control: make([]byte, maxMessages*controlBytes), arena: make([]byte, maxMessages*messageBytes),
	}
	r.fill = r.receive
	for i := range r.messages {
		r.vectors[i].Base = &r.arena[i*messageBytes]
		r.vectors[i].SetLen(messageBytes)
		h := &r.messages[i].header
		h.Name = (*byte)(unsafe.Pointer(&r.names[i]))
		h.Iov = &r.vectors[i]
		h.SetIovlen(1)
		h.Control = &r.control[i*controlBytes]
		r.reset(i)
	}
	return r
}

// reset makes message i ready to be received into.
func (r *batch) reset(i int) {
	h := &r.messages[i].header
	h.Namelen = unix.SizeofSockaddrInet6
	h.SetControllen(controlBytes)
}

func (r *batch) read(b []byte) (int, netip.AddrPort, error) {
	for len(r.rest) == 0 {
		if r.next < r.count {
			r.open(r.next)
			r.next++
			continue
		}
		for i := range r.count {
			r.reset(i)
		}
		r.next, r.count = 0, 0
		if err := r.raw.Read(r.fill); err != nil {
			return 0, netip.AddrPort{}, err
		}
		if r.errno != 0 {
			return 0, netip.AddrPort{}, os.NewSyscallError("recvmmsg", r.errno)
		}
	}
	end := min(r.size, len(r.rest))
	n := copy(b, r.rest[:end])
	r.rest = r.rest[end:]
	return n, r.from, nil
}

// receive takes what the socket holds. False asks the runtime to wait until it
// holds something.
func (r *batch) receive(fd uintptr) bool {
	for {
		// Raw, for the reason that sender gives.
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&r.messages[0])),
			uintptr(r.ask), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			r.count, r.errno, r.ask = int(n), 0, maxMessages
			return true
		case unix.EAGAIN:
			r.ask = 1
			return false
		case unix.EINTR:
		default:
			r.errno = errno
			return true
		}
	}
}

// open makes message i the one that read hands out.
func (r *batch) open(i int) {
	m := &r.messages[i]
	start := i * messageBytes
	r.rest = r.arena[start : start+min(int(m.bytes), messageBytes)]
	r.from = r.sender(i)
	r.size = segmentSize(r.control[i*controlBytes:][:min(int(m.header.Controllen), controlBytes)])
	if r.size <= 0 {
		r.size = len(r.rest)
	}
}

func (r *batch) sender(i int) netip.AddrPort {
	name := &r.names[i]
	port := (*[2]byte)(unsafe.Pointer(&name.Port)) // big-endian, in both families
	var addr netip.Addr
	switch {
	case r.messages[i].header.Namelen < unix.SizeofSockaddrInet4:
	case name.Family == unix.AF_INET:
		addr = netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(name)).Addr)
	case name.Family == unix.AF_INET6:
		addr = netip.AddrFrom16(name.Addr)
		if name.Scope_id != 0 {
			addr = addr.WithZone(r.zones.name(name.Scope_id))
		}
	}
	return netip.AddrPortFrom(addr, binary.BigEndian.Uint16(port[:]))
}

// segmentSize finds the size of a message's datagrams in its control messages.
// It is 0 if the message is one datagram.
func segmentSize(control []byte) int {
	for len(control) >= unix.SizeofCmsghdr {
		h, data, rest, err := unix.ParseOneSocketControlMessage(control)
		if err != nil {
			return 0
		}
		if h.Level == unix.SOL_UDP && h.Type == unix.UDP_GRO && len(data) >= 4 {
			return int(int32(binary.NativeEndian.Uint32(data)))
		}
		control = rest
	}
	return 0
}
