package ingress

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sender sends datagrams by raw system calls that never wait. Go's scheduler is
// not told of them: each ordinary system call of a process that was idle wakes
// the runtime's monitor thread, which then looks around every 20 µs for a while,
// at 100 viewers an eighth of all work.
type sender struct {
	raw   syscall.RawConn
	inet6 bool
	idle  sync.Pool // of *sending
}

// sending is the argument of one sendto.
type sending struct {
	b     []byte
	name  unix.RawSockaddrInet6 // either family fits
	size  uintptr
	errno syscall.Errno
	call  func(fd uintptr) // do, bound once
}

func newSender(udp *net.UDPConn) *sender {
	raw, err := udp.SyscallConn()
	if err != nil {
		return nil
	}
	s := &sender{raw: raw}
	if err := raw.Control(func(fd uintptr) {
		name, err := unix.Getsockname(int(fd))
		_, s.inet6 = name.(*unix.SockaddrInet6)
		if err != nil {
			s = nil
		}
	}); err != nil {
		return nil
	}
	return s
}

// send sends b as one datagram. done is false when the socket has no room for it
// or the address needs a zone: then nothing was sent.
func (s *sender) send(b []byte, to netip.AddrPort) (done bool, err error) {
	if s == nil || len(b) == 0 || to.Addr().Zone() != "" || !s.inet6 && !to.Addr().Unmap().Is4() {
		return false, nil
	}
	c, ok := s.idle.Get().(*sending)
	if !ok {
		c = &sending{}
		c.call = c.do
	}
	c.b = b
	c.address(to, s.inet6)
	err = s.raw.Control(c.call)
	errno := c.errno
	c.b = nil
	s.idle.Put(c)
	switch {
	case err != nil:
		return false, err
	case errno == unix.EAGAIN:
		return false, nil
	case errno != 0:
		return false, os.NewSyscallError("sendto", errno)
	}
	return true, nil
}

func (c *sending) do(fd uintptr) {
	for {
		_, _, c.errno = unix.RawSyscall6(unix.SYS_SENDTO, fd, uintptr(unsafe.Pointer(&c.b[0])), uintptr(len(c.b)),
			unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(&c.name)), c.size)
		if c.errno != unix.EINTR {
			return
		}
	}
}

func (c *sending) address(to netip.AddrPort, inet6 bool) {
	c.name = unix.RawSockaddrInet6{}
	if inet6 {
		c.name.Family, c.name.Addr = unix.AF_INET6, to.Addr().As16()
		c.size = unix.SizeofSockaddrInet6
	} else {
		four := (*unix.RawSockaddrInet4)(unsafe.Pointer(&c.name))
		four.Family, four.Addr = unix.AF_INET, to.Addr().Unmap().As4()
		c.size = unix.SizeofSockaddrInet4
	}
	// The port has the same place in both families.
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&c.name.Port))[:], to.Port())
}
