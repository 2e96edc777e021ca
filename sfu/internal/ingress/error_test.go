package ingress

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"
)

// script is a reader whose results are given.
type script struct{ results []result }

type result struct {
	n    int
	from netip.AddrPort
	err  error
}

func (s *script) read([]byte) (int, netip.AddrPort, error) {
	r := s.results[0]
	s.results = s.results[1:]
	return r.n, r.from, r.err
}

func TestSocketErrorsDoNotEndAReader(t *testing.T) {
	from := netip.MustParseAddrPort("192.0.2.1:4000")
	var results []result
	errnos := []syscall.Errno{
		syscall.EINTR, syscall.EAGAIN, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNREFUSED, syscall.ECONNRESET,
		syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.ENETDOWN, syscall.EMSGSIZE, syscall.EIO, syscall.EINVAL,
	}
	for _, e := range errnos {
		results = append(results, result{err: &net.OpError{Op: "read", Err: os.NewSyscallError("recvmmsg", e)}})
	}
	results = append(results,
		result{n: 5},              // no sender: Pion's mux would end
		result{n: 0, from: from},  // empty
		result{n: 10, from: from}, // good
		result{err: net.ErrClosed},
	)
	udp := listen(t, "udp4", "127.0.0.1:0")
	c := withReader(udp, &script{results})
	n, got, err := c.ReadFromAddrPort(make([]byte, 100))
	if n != 10 || got != from || err != nil {
		t.Errorf("%d bytes from %v, %v", n, got, err)
	}
	if want := uint64(len(errnos)); c.Failed() != want {
		t.Errorf("%d failed, want %d", c.Failed(), want)
	}
	if _, _, err := c.ReadFromAddrPort(make([]byte, 100)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v, want %v", err, net.ErrClosed)
	}
}

func TestCloseEndsAReaderOfABrokenSocket(t *testing.T) {
	c := withReader(listen(t, "udp4", "127.0.0.1:0"), broken{})
	ended := make(chan error)
	go func() {
		_, _, err := c.ReadFromAddrPort(make([]byte, 100))
		ended <- err
	}()
	for c.Failed() < 10 {
		select {
		case err := <-ended:
			t.Fatal(err)
		case <-time.After(time.Millisecond):
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v, want %v", err, net.ErrClosed)
	}
}

type broken struct{}

func (broken) read([]byte) (int, netip.AddrPort, error) { return 0, netip.AddrPort{}, syscall.EIO }
