package webhook

import (
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// parallel is how many messages, of different lines, are on their way to a receiver
// at a time.
const parallel = 8

// receiver is one URL and what waits for it.
type receiver struct {
	sender  *Sender
	url     string
	host    string        // for logs
	slots   chan struct{} // has room for as many attempts as may run at a time
	failing atomic.Bool
	running sync.WaitGroup // one goroutine for each line

	mu     sync.Mutex
	lines  map[string][]queued // a line that is here has a goroutine
	size   int
	closed bool
}

type queued struct {
	Message
	until time.Time // when it is given up
}

func newReceiver(s *Sender, text string) *receiver {
	r := &receiver{sender: s, url: text, slots: make(chan struct{}, parallel), lines: map[string][]queued{}}
	if u, err := url.Parse(text); err == nil {
		r.host = u.Host
	}
	return r
}

// put queues a message, if there is room for it.
func (r *receiver) put(m Message) {
	limit := r.sender.cfg.Queue
	if m.Minor {
		limit = (limit + 1) / 2
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.size >= limit {
		r.sender.counters.dropped.Add(1)
		return
	}
	r.size++
	r.sender.counters.queued.Add(1)
	line, runs := r.lines[m.Line]
	r.lines[m.Line] = append(line, queued{m, time.Now().Add(r.sender.cfg.Retry)})
	if !runs {
		r.running.Go(func() { r.run(m.Line) })
	}
}

// run delivers a line until nothing is left of it.
func (r *receiver) run(name string) {
	for {
		r.mu.Lock()
		line := r.lines[name]
		if len(line) == 0 {
			delete(r.lines, name)
			r.mu.Unlock()
			return
		}
		next := line[0]
		r.mu.Unlock()

		r.deliver(next)

		r.mu.Lock()
		r.lines[name][0] = queued{} // its body is not needed any more
		r.lines[name] = r.lines[name][1:]
		r.size--
		r.mu.Unlock()
		r.sender.counters.queued.Add(-1)
	}
}

func (r *receiver) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.running.Wait()
}
