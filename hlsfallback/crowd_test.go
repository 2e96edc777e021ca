package hlsfallback

import (
	"sync"
	"testing"
	"testing/synctest"
)

// All who wait are woken, whenever they came; who comes later waits for the next
// time; and however many came and went, there are no more than maxRanks ranks.
func TestCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, n := range []int{0, 1, rankSize, rankSize + 1, 100, 3 * rankSize * maxRanks} {
			var c crowd
			var woken sync.WaitGroup
			ranks := map[<-chan struct{}]bool{}
			for range n {
				rank := c.join()
				ranks[rank] = true
				woken.Go(func() { <-rank })
			}
			if len(ranks) > maxRanks || len(ranks) < min(n/rankSize, maxRanks) {
				t.Errorf("%d requests wait in %d ranks", n, len(ranks))
			}
			var by ushers
			c.wake(&by)
			next := c.join()
			woken.Wait()
			by.leave()
			select {
			case <-next:
				t.Errorf("%d: who comes after the wake does not wait", n)
			default:
			}
		}
	})
}

// After the end all are woken nevertheless.
func TestCrowdWithoutUshers(t *testing.T) {
	var c crowd
	var by ushers
	by.leave()
	var all []<-chan struct{}
	for range 10 * rankSize {
		all = append(all, c.join())
	}
	c.wake(&by)
	for i, one := range all {
		select {
		case <-one:
		default:
			t.Errorf("request %d is not woken", i)
		}
	}
}
