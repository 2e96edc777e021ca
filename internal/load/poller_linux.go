package load

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	messagesAtOnce = 64
	wholeBytes     = 1 << 16           // of a datagram, or of many that the kernel hands over as one
	bufferStride   = wholeBytes + 1088 // so that buffers do not share cache sets
	headBytes      = 384               // of a datagram whose payload is not wanted: all STUN and RTCP, and the head of RTP
	controlBytes   = 128
	eventsAtOnce   = 256
	receiveBuffer  = 1 << 20
	sendBuffer     = 1 << 20
)

// socket is one UDP socket. Any goroutine may send.
type socket struct {
	fd       int
	local    netip.AddrPort
	receiver receiver
	whole    bool // read datagrams whole, not only their heads
}

// message is struct mmsghdr.
type message struct {
	header unix.Msghdr
	size   uint32
	_      [4]byte
}

// poller reads many sockets, many datagrams at a time. Only wake and a
// socket's send may be called from other goroutines than the one that waits.
type poller struct {
	epoll   int
	waker   int // an eventfd
	gro     bool
	sockets []*socket // by descriptor
	events  [eventsAtOnce]unix.EpollEvent

	messages [messagesAtOnce]message
	vectors  [messagesAtOnce]unix.Iovec
	names    [messagesAtOnce]unix.RawSockaddrInet6
	controls [messagesAtOnce][controlBytes]byte
	buffers  []byte
	limit    int // bytes read of a datagram
}

// newPoller makes a poller; gro lets the kernel hand datagrams that were sent
// as one over as one.
func newPoller(gro bool) (*poller, error) {
	p := &poller{gro: gro, buffers: make([]byte, messagesAtOnce*bufferStride)}
	var err error
	if p.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	if p.waker, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, errors.Join(fmt.Errorf("eventfd: %w", err), unix.Close(p.epoll))
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(p.waker)}
	if err := unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, p.waker, &event); err != nil {
		return nil, errors.Join(fmt.Errorf("epoll: %w", err), p.close())
	}
	for i := range p.messages {
		h := &p.messages[i].header
		h.Name = (*byte)(unsafe.Pointer(&p.names[i]))
		h.Iov = &p.vectors[i]
		h.SetIovlen(1)
		h.Control = &p.controls[i][0]
		p.vectors[i].Base = &p.buffers[i*bufferStride]
	}
	p.ready(messagesAtOnce)
	return p, nil
}

// ready resets what the kernel has changed of the first n messages.
func (p *poller) ready(n int) {
	for i := range p.messages[:n] {
		h := &p.messages[i].header
		h.Namelen = unix.SizeofSockaddrInet6
		h.SetControllen(controlBytes)
	}
}

func (p *poller) close() error {
	var errs []error
	for _, s := range p.sockets {
		if s != nil {
			errs = append(errs, unix.Close(s.fd))
		}
	}
	p.sockets = nil
	return errors.Join(append(errs, unix.Close(p.waker), unix.Close(p.epoll))...)
}

// wake makes wait return.
func (p *poller) wake() {
	one := [8]byte{1}
	_, _ = unix.Write(p.waker, one[:]) // full means that it is awake already
}

// open binds a socket to a free port of the address.
func (p *poller) open(local netip.Addr, r receiver) (*socket, error) {
	family := unix.AF_INET
	if local.Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("UDP socket: %w", err)
	}
	s := &socket{fd: fd, receiver: r, whole: true}
	if err := s.bind(local); err != nil {
		return nil, errors.Join(fmt.Errorf("UDP socket: %w", err), unix.Close(fd))
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
	if err := unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		return nil, errors.Join(fmt.Errorf("epoll: %w", err), unix.Close(fd))
	}
	for len(p.sockets) <= fd {
		p.sockets = append(p.sockets, nil)
	}
	p.sockets[fd] = s
	if p.gro {
		_ = unix.SetsockoptInt(fd, unix.SOL_UDP, unix.UDP_GRO, 1) // without it they come one by one
	}
	return s, nil
}

func (s *socket) bind(local netip.Addr) error {
	// Larger buffers are welcome, not needed.
	if unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
		_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
	}
	_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer)
	if err := unix.Bind(s.fd, sockaddr(netip.AddrPortFrom(local, 0))); err != nil {
		return err
	}
	name, err := unix.Getsockname(s.fd)
	if err != nil {
		return err
	}
	switch name := name.(type) {
	case *unix.SockaddrInet4:
		s.local = netip.AddrPortFrom(local, uint16(name.Port))
	case *unix.SockaddrInet6:
		s.local = netip.AddrPortFrom(local, uint16(name.Port))
	}
	return nil
}

// stamps makes the kernel note when each datagram arrives, rather than when it
// is read.
func (s *socket) stamps(on bool) error {
	v := 0
	if on {
		v = 1
	}
	return unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, v)
}

// send sends one datagram. What the kernel has no room for is lost, as on any
// network.
func (s *socket) send(b []byte, to netip.AddrPort) error {
	err := unix.Sendto(s.fd, b, unix.MSG_DONTWAIT, sockaddr(to))
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.ENOBUFS) {
		return nil
	}
	return err
}

// drop closes a socket.
func (p *poller) drop(s *socket) error {
	p.sockets[s.fd] = nil
	return unix.Close(s.fd)
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if addr := a.Addr().Unmap(); addr.Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: addr.As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

// wait hands what arrives to the receivers, and returns after the first batch
// or the timeout.
func (p *poller) wait(timeout time.Duration) error {
	n, err := unix.EpollWait(p.epoll, p.events[:], int(timeout.Milliseconds()))
	if err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("epoll: %w", err)
	}
	now := time.Now().UnixNano()
	for i := range max(n, 0) {
		fd := p.events[i].Fd
		if fd == int32(p.waker) {
			var b [8]byte
			_, _ = unix.Read(p.waker, b[:]) // only empties it
			continue
		}
		if s := p.sockets[fd]; s != nil { // not dropped meanwhile
			p.drain(s, now)
		}
	}
	return nil
}

// drain reads what one socket holds.
func (p *poller) drain(s *socket, now int64) {
	for {
		n := p.read(s)
		for i := range n {
			p.hand(s, i, now)
		}
		p.ready(n)
		if n < messagesAtOnce {
			return
		}
	}
}

// hand hands the i-th message over, in datagrams.
func (p *poller) hand(s *socket, i int, now int64) {
	size := int(p.messages[i].size)
	at, segment := now, size
	if used := p.messages[i].header.Controllen; used > 0 {
		at, segment = parseControl(p.controls[i][:used], now, size)
	}
	from := address(&p.names[i])
	b := p.buffers[i*bufferStride:][:min(size, p.limit)]
	for size > segment {
		s.receiver.receive(b[:segment], segment, from, at)
		b, size = b[segment:], size-segment
	}
	s.receiver.receive(b, size, from, at)
}

func (p *poller) read(s *socket) int {
	limit := headBytes
	if s.whole || p.gro {
		limit = wholeBytes
	}
	if limit != p.limit {
		p.limit = limit
		for i := range p.vectors {
			p.vectors[i].SetLen(limit)
		}
	}
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&p.messages[0])),
		messagesAtOnce, unix.MSG_DONTWAIT|unix.MSG_TRUNC, 0, 0)
	if errno != 0 {
		return 0 // empty, or an ICMP error that the next read does not have
	}
	return int(n)
}

func address(name *unix.RawSockaddrInet6) netip.AddrPort {
	if name.Family == unix.AF_INET {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		return netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), v4.Port>>8|v4.Port<<8)
	}
	return netip.AddrPortFrom(netip.AddrFrom16(name.Addr), name.Port>>8|name.Port<<8)
}

// parseControl reads from the control messages when a message arrived, and how
// large the datagrams in it are.
func parseControl(control []byte, now int64, size int) (at int64, segment int) {
	at, segment = now, size
	for len(control) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
		data := unix.CmsgLen(0)
		length := int(h.Len)
		if length < data || length > len(control) {
			break
		}
		switch {
		case h.Level == unix.SOL_SOCKET && h.Type == unix.SCM_TIMESTAMPNS && length >= data+int(unsafe.Sizeof(unix.Timespec{})):
			at = (*unix.Timespec)(unsafe.Pointer(&control[data])).Nano()
		case h.Level == unix.SOL_UDP && h.Type == unix.UDP_GRO && length >= data+4:
			if n := int(*(*int32)(unsafe.Pointer(&control[data]))); n > 0 {
				segment = n
			}
		}
		control = control[min(unix.CmsgSpace(length-data), len(control)):]
	}
	return at, segment
}
