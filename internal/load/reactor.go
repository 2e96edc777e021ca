package load

import (
	"net/netip"
	"sync"
	"time"
)

// receiver takes the datagrams of one socket, on the reactor's goroutine.
type receiver interface {
	// receive takes the first bytes b of a datagram of size bytes that arrived
	// at the wall clock's nanosecond at. b is good during the call.
	receive(b []byte, size int, from netip.AddrPort, at int64)
}

// visitsPerSecond is how often a reactor visits each of its peers to send
// reports.
const visitsPerSecond = 10

// visitInterval is how often some of the peers are visited.
const visitInterval = 10 * time.Millisecond

// visited is what a reactor visits.
type visited interface{ visit(now int64) }

// reactor is one goroutine that reads the sockets of many peers, and owns all
// state of what arrives there.
type reactor struct {
	poller   *poller
	coalesce time.Duration

	mu     sync.Mutex
	todo   []func()
	closed bool

	peers   []visited
	next    int     // of peers to visit
	credit  float64 // visits that are due
	visitAt int64
	done    chan struct{}
	err     error // why run ended; read after done
}

// newReactor starts a reactor; close ends it.
func newReactor(cfg Reading) (*reactor, error) {
	p, err := newPoller(cfg.GRO)
	if err != nil {
		return nil, err
	}
	r := &reactor{poller: p, coalesce: cfg.Coalesce, done: make(chan struct{})}
	go r.run()
	return r, nil
}

func (r *reactor) run() {
	defer close(r.done)
	for {
		r.mu.Lock()
		todo, closed := r.todo, r.closed
		r.todo = nil
		r.mu.Unlock()
		for _, f := range todo {
			f()
		}
		if closed {
			r.err = r.poller.close()
			return
		}
		if r.err = r.poller.wait(visitInterval); r.err != nil {
			return
		}
		if r.coalesce > 0 {
			time.Sleep(r.coalesce)
		}
		if now := time.Now().UnixNano(); now >= r.visitAt {
			r.visit(now)
		}
	}
}

// visit visits the peers whose turn it is: each visitsPerSecond times a second,
// evenly spread.
func (r *reactor) visit(now int64) {
	elapsed := min(time.Duration(now-r.visitAt)+visitInterval, time.Second)
	r.visitAt = now + int64(visitInterval)
	r.credit += elapsed.Seconds() * visitsPerSecond * float64(len(r.peers))
	r.credit = min(r.credit, float64(len(r.peers)))
	for ; r.credit >= 1; r.credit-- {
		if r.next >= len(r.peers) {
			r.next = 0
		}
		r.peers[r.next].visit(now)
		r.next++
	}
}

// do runs f on the reactor's goroutine and waits for it. It reports false when
// the reactor has ended.
func (r *reactor) do(f func()) bool {
	ran := make(chan struct{})
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return false
	}
	r.todo = append(r.todo, func() { f(); close(ran) })
	r.mu.Unlock()
	r.poller.wake()
	select {
	case <-ran:
		return true
	case <-r.done:
		return false
	}
}

// add visits v from now on. It is called on the reactor's goroutine.
func (r *reactor) add(v visited) { r.peers = append(r.peers, v) }

// remove ends the visits.
func (r *reactor) remove(v visited) {
	for i, other := range r.peers {
		if other == v {
			last := len(r.peers) - 1
			r.peers[i] = r.peers[last]
			r.peers[last] = nil
			r.peers = r.peers[:last]
			return
		}
	}
}

// close ends the reactor and closes its sockets.
func (r *reactor) close() error {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.poller.wake()
	<-r.done
	return r.err
}
