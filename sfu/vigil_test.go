package sfu

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/sfu/internal/codec"
)

const stall = 3 * time.Second // in which nothing of the process runs

// A publisher that sent nothing while this process stood still is not dead, and one
// that is not connected yet has some time for it.
func TestStallIsNotADeadPublisher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &SFU{start: time.Now()}
		l := &layer{codec: codec.H264}
		p := &Publisher{session: &session{sfu: s, done: make(chan struct{})}, layers: []*layer{l}}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		defer running.Wait()
		defer cancel()
		sending := func(ctx context.Context) {
			for frames := 0; ctx.Err() == nil; frames++ {
				l.lastArrival.Store(s.now())
				if frames%5 == 0 {
					s.vigil.look(s.now())
				}
				time.Sleep(33 * time.Millisecond)
			}
		}
		running.Go(func() {
			time.Sleep(startTime - 200*time.Millisecond)
			sending(ctx)
		})
		if !p.alive(t.Context()) {
			t.Error("one that connects counts as dead")
		}
		cancel()
		running.Wait()
		time.Sleep(stall)
		ctx, cancel = context.WithCancel(t.Context())
		running.Go(func() {
			time.Sleep(probeSettle)
			sending(ctx)
		})
		if !p.alive(t.Context()) {
			t.Error("counts as dead after a stall")
		}
		cancel()
		running.Wait()
		for range 10 {
			time.Sleep(monitorInterval)
			s.vigil.look(s.now())
		}
		began := s.now()
		if p.alive(t.Context()) || s.now() != began {
			t.Error("one that has ended is not known to be dead at once")
		}
	})
}

// A stream is not paused since this process stood still, but is when nothing comes
// then.
func TestStallIsNotAPause(t *testing.T) {
	s := &SFU{}
	l := &layer{codec: codec.Opus}
	st := &stream{sfu: s, log: slog.New(slog.DiscardHandler), state: sluice.StreamLive, changed: make(chan struct{})}
	st.publisher = &Publisher{session: &session{sfu: s}}
	st.shards.Store(&[]*shard{})
	st.taps.Store(&[]*Tap{})
	src := &sources{audio: l}
	now := int64(time.Minute)
	look := func(after time.Duration, want sluice.StreamState) {
		t.Helper()
		now += int64(after)
		s.vigil.look(now)
		st.follow(src, map[*layer]bool{}, now)
		if st.state != want {
			t.Errorf("%v later it is %s, want %s", after, st.state, want)
		}
	}
	l.lastArrival.Store(now)
	look(0, sluice.StreamLive)
	look(stall, sluice.StreamLive)
	for range int64(time.Duration(silence)/monitorInterval) - 1 {
		look(monitorInterval, sluice.StreamLive)
	}
	look(monitorInterval, sluice.StreamPaused)
	look(stall, sluice.StreamPaused)
	l.lastArrival.Store(now)
	look(monitorInterval, sluice.StreamLive)
}
