package sfu

import (
	"testing"
	"time"
)

func TestKeyframeRequestsAreMerged(t *testing.T) {
	var k keyframes
	now := int64(time.Hour)
	asked := 0
	for i := range 1000 { // a second of viewers who join each millisecond
		if k.request(now) {
			asked++
		}
		if i%30 == 0 {
			k.arrived(now) // an answer asks for no more requests
		}
		now += int64(time.Millisecond)
	}
	if asked != 2 {
		t.Errorf("%d requests in a second, want 2", asked)
	}
}

func TestVerdictOnPublishers(t *testing.T) {
	ms := func(n int64) int64 { return int64(time.Hour) + n*int64(time.Millisecond) }
	for _, tt := range []struct {
		name   string
		events func(*keyframes)
		want   int32
	}{
		{"an answer", func(k *keyframes) { k.arrived(ms(0)); k.request(ms(100)); k.arrived(ms(160)) }, obeysYes},
		{"none", func(k *keyframes) { k.arrived(ms(0)); k.request(ms(100)); k.judge(ms(700)) }, obeysNo},
		{"a keyframe that was due", func(k *keyframes) { k.arrived(ms(0)); k.request(ms(1800)); k.arrived(ms(2000)) }, obeysUnknown},
		{"one that was due after none", func(k *keyframes) {
			k.arrived(ms(0))
			k.request(ms(100))
			k.judge(ms(700))
			k.request(ms(1900))
			k.arrived(ms(2000))
		}, obeysNo},
		{"an answer that was late once", func(k *keyframes) {
			k.arrived(ms(0))
			k.request(ms(100))
			k.arrived(ms(900))
			k.request(ms(1000))
			k.arrived(ms(1100)) // the answer
		}, obeysYes},
		{"an answer long after the last keyframe", func(k *keyframes) {
			k.arrived(ms(0))
			k.request(ms(100))
			k.judge(ms(700))
			k.request(ms(6000))
			k.arrived(ms(6200))
		}, obeysYes},
		{"two late answers of one that has answered", func(k *keyframes) {
			k.arrived(ms(0))
			k.request(ms(100))
			k.arrived(ms(200))
			for i := range int64(2) {
				k.request(ms(2000 + 1000*i))
				k.judge(ms(2600 + 1000*i))
			}
		}, obeysYes},
		{"three requests in vain", func(k *keyframes) {
			k.arrived(ms(0))
			k.request(ms(100))
			k.arrived(ms(200))
			for i := range int64(3) {
				k.request(ms(2000 + 1000*i))
				k.judge(ms(2600 + 1000*i))
			}
		}, obeysNo},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var k keyframes
			tt.events(&k)
			if got := k.verdict.Load(); got != tt.want {
				t.Errorf("verdict %d, want %d", got, tt.want)
			}
		})
	}
}

func TestPublisherIsTestedAfterAKeyframe(t *testing.T) {
	var k keyframes
	now := int64(time.Hour)
	if k.test(now) {
		t.Error("tested before the first keyframe")
	}
	k.arrived(now)
	if !k.test(now + int64(200*time.Millisecond)) {
		t.Error("not tested after a keyframe")
	}
	k.verdict.Store(obeysYes)
	if k.test(now + int64(200*time.Millisecond)) {
		t.Error("tested though it is known")
	}
	k.verdict.Store(obeysNo)
	k.last.Store(now)
	now += int64(2 * time.Minute)
	k.arrived(now)
	if !k.test(now) {
		t.Error("never tested again")
	}
}

func TestRequestsInVain(t *testing.T) {
	var k keyframes
	now := int64(time.Hour)
	k.arrived(now)
	if k.ignored(now) {
		t.Error("nothing is known yet")
	}
	k.verdict.Store(obeysNo)
	if !k.ignored(now + int64(2*time.Second)) {
		t.Error("a publisher that does not answer is asked between its keyframes")
	}
	if k.ignored(now + int64(5*time.Second)) {
		t.Error("a publisher whose keyframes have ceased is not asked")
	}
}

// TestKeyframesForViewersBehind are asked for of publishers that answer, and not
// shortly after one.
func TestKeyframesForViewersBehind(t *testing.T) {
	var k keyframes
	now := int64(time.Hour)
	k.arrived(now)
	for _, tt := range []struct {
		verdict int32
		age     time.Duration
		want    bool
	}{
		{obeysYes, time.Second, false},
		{obeysYes, 2 * time.Second, true},
		{obeysUnknown, 3 * time.Second, true},
		{obeysNo, 3 * time.Second, false},
		{obeysNo, 5 * time.Second, true}, // it is overdue
	} {
		k.verdict.Store(tt.verdict)
		if got := k.useful(now + int64(tt.age)); got != tt.want {
			t.Errorf("verdict %d, %v after a keyframe: %t", tt.verdict, tt.age, got)
		}
	}
}
