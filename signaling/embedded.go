package signaling

import (
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// embeddedTick is how often keys of the embedded Redis expire: up to two of it too
// early, and later while the process stands still. By the clock of the server itself
// they would at each command, which looks at all keys then: a heartbeat of many
// leases took seconds.
const embeddedTick = 50 * time.Millisecond

// Embedded is a Redis server inside this process, for a node that runs alone.
// It listens on a loopback port behind a random password, keeps nothing on disk
// and expires keys by the clock. Its goroutines end with Close.
type Embedded struct {
	server *miniredis.Miniredis
	url    string
	stop   chan struct{}
	clock  sync.WaitGroup
}

// NewEmbedded starts one. The caller closes it.
func NewEmbedded() (*Embedded, error) {
	server, password := miniredis.NewMiniRedis(), rand.Text()
	server.RequireAuth(password)
	if err := server.StartAddr("127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("embedded redis: %w", err)
	}
	e := &Embedded{server: server, url: "redis://:" + password + "@" + server.Addr() + "/0", stop: make(chan struct{})}
	e.clock.Go(e.expire)
	return e, nil
}

// expire lets the lifetimes of keys go by.
func (e *Embedded) expire() {
	tick := time.NewTicker(embeddedTick)
	defer tick.Stop()
	for last := time.Now(); ; {
		select {
		case <-e.stop:
			return
		case <-tick.C:
			now := time.Now()
			e.server.FastForward(min(now.Sub(last), 2*embeddedTick))
			last = now
		}
	}
}

// URL is for Connect. It holds the password and does not belong in logs.
func (e *Embedded) URL() string { return e.url }

// Close stops the server and returns when its connections are gone.
func (e *Embedded) Close() {
	close(e.stop)
	e.clock.Wait()
	e.server.Close()
}
