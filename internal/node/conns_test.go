package node

import (
	"io"
	"net"
	"testing"
	"time"
)

func TestConnectionsOfOneAddressAreLimited(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := newPerIPListener(inner, 2, trusted(nil).has)
	defer l.Close()
	accepted := make(chan net.Conn, 4)
	go func() {
		defer close(accepted)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	dial := func() net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	dial()
	first := <-accepted
	dial()
	second := <-accepted
	third := dial()
	third.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := third.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the third connection reads %v, want it closed", err)
	}
	first.Close()
	first.Close() // gives one place back, not two
	dial()
	(<-accepted).Close()
	second.Close()
	l.Close()
	for conn := range accepted {
		conn.Close()
		t.Error("one connection too many")
	}
	if len(l.open) != 0 {
		t.Errorf("left behind: %v", l.open)
	}
}
