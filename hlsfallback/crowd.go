package hlsfallback

import (
	"runtime"
	"sync"
)

// crowd are requests that wait for the same, in ranks: each is woken when the
// processors have come through with those before it. Woken at once, they would
// take every step of an answer together, the last would be as late as the first,
// and what one of them has in the caches would be gone at its next step.
type crowd struct {
	ranks  []chan struct{} // closed when it is there
	joined int
}

const (
	rankSize = 4   // requests: a part and a playlist of two viewers
	maxRanks = 512 // then ranks grow
)

// join returns the channel that a request waits on. It need not leave.
func (c *crowd) join() <-chan struct{} {
	i := c.joined / rankSize % maxRanks
	c.joined++
	if i == len(c.ranks) {
		c.ranks = append(c.ranks, make(chan struct{}))
	}
	return c.ranks[i]
}

// wake wakes all who wait, the first of them at once. It does not block, unless the
// ushers have gone.
func (c *crowd) wake(by *ushers) {
	ranks := c.ranks
	*c = crowd{}
	if len(ranks) == 0 {
		return
	}
	close(ranks[0])
	if ranks = ranks[1:]; len(ranks) > 0 {
		by.do(func() {
			for _, rank := range ranks {
				runtime.Gosched()
				close(rank)
			}
		})
	}
}

// ushers are the goroutines that wake crowds.
type ushers struct {
	mu   sync.Mutex
	gone bool
	busy sync.WaitGroup
}

// do runs f in a goroutine that leave waits for, or, after leave, at once.
func (u *ushers) do(f func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.gone {
		f()
		return
	}
	u.busy.Go(f)
}

// leave waits for those who are at it. There are none any more.
func (u *ushers) leave() {
	u.mu.Lock()
	u.gone = true
	u.mu.Unlock()
	u.busy.Wait()
}
