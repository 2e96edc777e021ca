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
	// keyframeRetest is how often a publisher that did not answer is tried again.
	keyframeRetest = int64(time.Minute)
)

// keyframes merges the keyframe requests of all viewers of a layer, and learns
// whether the publisher answers them. Encoders such as OBS do not; their
// viewers start from the cached GOP. Any goroutine may use it.
type keyframes struct {
	asked   atomic.Int64 // when a request that is still open was made; SFU clock; 0: none is
	last    atomic.Int64 // when the last request was made
	seen    atomic.Int64 // when the newest keyframe came
	fair    atomic.Bool  // the open request came right after a keyframe
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
	k.fair.Store(seen != 0 && now-seen < keyframeRest)
	k.asked.Store(now)
	return true
}

// arrived notes a keyframe.
func (k *keyframes) arrived(now int64) {
	k.seen.Store(now)
	asked := k.asked.Swap(0)
	if asked != 0 && now-asked < keyframeInterval && k.fair.Load() {
		k.verdict.Store(obeysYes)
	}
}

// judge notes that a request has gone unanswered.
func (k *keyframes) judge(now int64) {
	asked := k.asked.Load()
	if asked != 0 && now-asked >= keyframeInterval && k.asked.CompareAndSwap(asked, 0) {
		k.verdict.Store(obeysNo)
	}
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
