package chat

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/sluice-live/sluice/internal/catalog"
)

const (
	// keepQueue is how many changes wait for the database at most.
	keepQueue = 16384
	// keepEvery is how long messages are gathered before they are kept.
	keepEvery = 200 * time.Millisecond
	// keepAtOnce bounds the messages of one statement.
	keepAtOnce = 256
	// keepTimeout bounds one statement, keepRetry the time between attempts.
	keepTimeout = 5 * time.Second
	keepRetry   = time.Second
)

// change is something to keep: a message, or what happens to messages and bans.
type change struct {
	message *catalog.Message
	do      func(ctx context.Context) error
}

// keeper writes what rooms have seen to the database, in order, without their
// waiting for it.
type keeper struct {
	archive  Archive
	rules    Rules
	log      *slog.Logger
	counters *counters
	queue    chan change
	stop     chan struct{}
	running  sync.WaitGroup
	failing  bool
	err      error // of the last attempts while closing
}

func newKeeper(a Archive, r Rules, log *slog.Logger, c *counters) *keeper {
	k := &keeper{archive: a, rules: r, log: log, counters: c, queue: make(chan change, keepQueue), stop: make(chan struct{})}
	k.running.Go(k.run)
	return k
}

// keep takes a change. When too many wait, which only a database that has been
// away for long brings about, it is lost and counted.
func (k *keeper) keep(c change) {
	select {
	case k.queue <- c:
	default:
		k.counters.unkept.Add(1)
	}
}

// close keeps what is left, if the database takes it, and ends the keeper.
func (k *keeper) close() error {
	close(k.stop)
	k.running.Wait()
	return k.err
}

func (k *keeper) run() {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			k.drain(false)
		case <-k.stop:
			k.drain(true)
			return
		}
	}
}

// drain keeps what is in the queue now.
func (k *keeper) drain(last bool) {
	var batch []catalog.Message
	flush := func() {
		if len(batch) == 0 {
			return
		}
		messages := batch
		batch = nil
		k.attempt(len(messages), last, func(ctx context.Context) error { return k.archive.AddMessages(ctx, messages) })
	}
	for {
		select {
		case c := <-k.queue:
			if c.message != nil {
				if batch = append(batch, *c.message); len(batch) >= keepAtOnce {
					flush()
				}
				continue
			}
			flush()
			k.attempt(1, last, c.do)
		default:
			flush()
			return
		}
	}
}

// attempt does one thing until it works; at the end of the keeper it tries once.
func (k *keeper) attempt(n int, last bool, do func(ctx context.Context) error) {
	for {
		if k.err != nil { // it did not work while closing: there is no time for more
			k.counters.unkept.Add(uint64(n))
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), keepTimeout)
		err := do(ctx)
		cancel()
		if err == nil {
			if k.failing {
				k.failing = false
				k.log.Info("the chat is kept again")
			}
			return
		}
		if !k.failing {
			k.failing = true
			k.log.Error("the chat is not kept", "err", err)
		}
		timer := time.NewTimer(keepRetry)
		select {
		case <-timer.C:
			if !last {
				continue
			}
		case <-k.stop:
			timer.Stop()
			if !last {
				last = true
				continue // once more
			}
		}
		k.counters.unkept.Add(uint64(n))
		k.err = errors.Join(k.err, err)
		return
	}
}
