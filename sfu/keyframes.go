package sfu

import (
	"sync/atomic"
	"time"
)

const (
	// keyframeInterval is the least time between two requests for one layer,
	// and how long the publisher has for an answer.
	keyframeInterval = int64(500 * time.Millisecond)
	// keyframeRest is how soon after a keyframe a request must be made for the
	// next one to count as its answer, and not as one that was due anyway.
	keyframeRest = int64(300 * time.Millisecond)
	// keyframeLong is longer than the keyframes of most encoders that do not answer
	// are apart. A keyframe that follows a request after that long counts as its
	// answer too.
	keyframeLong = int64(4 * time.Second)
	// keyframeBehind is the least time from a keyframe to one that viewers who are
	// behind need.
	keyframeBehind = int64(2 * time.Second)
	// keyframeRetest is how often a publisher that did not answer is tried again.
	keyframeRetest = int64(time.Minute)
	// maxMisses is how many requests in a row a publisher that has answered before
	// may leave unanswered: one answer may be late on a busy machine.
	maxMisses = 3
)

// keyframes merges the keyframe requests of all viewers of a layer, and learns
// whether the publisher answers them. Encoders such as OBS do not; their
// viewers start from the cached GOP. Any goroutine may use it.
type keyframes struct {
	asked   atomic.Int64 // when a request that is still open was made; SFU clock; 0: none is
	last    atomic.Int64 // when the last request was made
	seen    atomic.Int64 // when the newest keyframe came
	fair    atomic.Bool  // the open request came when no keyframe was due
	misses  atomic.Int32 // requests in a row without an answer
	verdict atomic.Int32
}

// Verdicts on a publisher.
const (
	obeysUnknown = iota
	obeysYes
	obeysNo
)

// obeys reports whether the publisher answers requests, as far as is known.
func (k *keyframes) obeys() bool { return k.verdict.Load() == obeysYes }

// request reports whether the publisher should be asked now: at most once in
// keyframeInterval.
func (k *keyframes) request(now int64) bool {
	k.judge(now)
	last := k.last.Load()
	if last != 0 && now-last < keyframeInterval {
		return false
	}
	if !k.last.CompareAndSwap(last, now) {
		return false
	}
	seen := k.seen.Load()
	k.fair.Store(seen != 0 && (now-seen < keyframeRest || now-seen > keyframeLong))
	k.asked.Store(now)
	return true
}

// spent reports whether a request was answered so shortly that none may follow
// now.
func (k *keyframes) spent(now int64) bool {
	return k.asked.Load() == 0 && now-k.last.Load() < keyframeInterval
}

// arrived notes a keyframe.
func (k *keyframes) arrived(now int64) {
	k.seen.Store(now)
	asked := k.asked.Swap(0)
	if asked != 0 && now-asked < keyframeInterval && k.fair.Load() {
		k.misses.Store(0)
		k.verdict.Store(obeysYes)
	}
}

// judge notes that a request has gone unanswered.
func (k *keyframes) judge(now int64) {
	asked := k.asked.Load()
	if asked == 0 || now-asked < keyframeInterval || !k.asked.CompareAndSwap(asked, 0) {
		return
	}
	if misses := k.misses.Add(1); misses >= maxMisses || k.verdict.Load() != obeysYes {
		k.verdict.Store(obeysNo)
	}
}

// ignored reports whether a request would be in vain: the publisher does not
// answer, and its own next keyframe is not overdue.
func (k *keyframes) ignored(now int64) bool {
	return k.verdict.Load() == obeysNo && now-k.seen.Load() < keyframeLong
}

// useful reports whether to ask for the sake of viewers that are behind. On a node
// that is too busy for its viewers each keyframe is one more burst.
func (k *keyframes) useful(now int64) bool {
	return !k.ignored(now) && now-k.seen.Load() >= keyframeBehind
}

// test reports whether to ask only to learn what the publisher does, so that
// the first viewer need not. It is looked at every monitorInterval.
func (k *keyframes) test(now int64) bool {
	k.judge(now)
	if now-k.seen.Load() >= keyframeRest || k.asked.Load() != 0 {
		return false
	}
	switch k.verdict.Load() {
	case obeysUnknown:
		return true
	case obeysNo:
		return now-k.last.Load() > keyframeRetest
	}
	return false
}
