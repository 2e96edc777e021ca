package sfu

import (
	"time"

	"github.com/sluice-live/sluice/sfu/internal/estimate"
)

const (
	// meterTime is how long a rate is counted.
	meterTime = int64(500 * time.Millisecond)
	// fillPatience is how long padding goes on that does not raise the receiver's
	// estimate by fillRise percent, and fillRest how long there is none then.
	fillPatience = int64(5 * time.Second)
	fillRest     = int64(15 * time.Second)
	fillRise     = 105
	// fillMost is the longest time whose padding is made up for at once.
	fillMost = int64(100 * time.Millisecond)
)

// meter counts what is sent to a viewer, in bits per second.
type meter struct {
	at           int64
	bytes        uint64
	rate, before int
}

// note takes the total of bytes sent.
func (m *meter) note(bytes uint64, now int64) {
	if elapsed := now - m.at; elapsed >= meterTime {
		m.rate, m.before = int(float64(bytes-m.bytes)*8*float64(time.Second)/float64(elapsed)), m.rate
		m.at, m.bytes = now, bytes
	}
}

// recent is the rate of the time that a report of now tells of, at most.
func (m *meter) recent() int { return max(m.rate, m.before) }

// filler is padding for a viewer that sends its own estimate only (REMB). A
// receiver never says that more than one and a half times what it gets would fit:
// while a better layer is wanted, it gets as much as it has said, so that it may
// say more. That is never more than it asks for.
type filler struct {
	rate   int   // of the padding, bits per second; 0: none
	until  int64 // what was due until then has been sent
	owed   int64 // bytes; less than 0 when more was sent
	since  int64 // when the estimate last rose
	from   int   // to what
	rest   int64 // no padding before
	newest int64 // arrival of the packet that padding last followed
}

// plan sets the rate of padding beside media for a layer that needs the rate of
// want. 0 ends it.
func (f *filler) plan(want, media int, path *estimate.State, now int64) {
	if path.Bitrate*100 > f.from*fillRise {
		f.rest = 0 // another path
	}
	rate := min(want, path.Bitrate) - media
	if path.Source != "remb" || path.Overuse || rate <= 0 || now < f.rest {
		f.rate = 0
		return
	}
	if f.rate == 0 || path.Bitrate*100 > f.from*fillRise {
		f.since, f.from = now, path.Bitrate
	}
	if f.rate == 0 {
		f.until, f.owed = now, 0
	}
	f.rate = rate
	if now-f.since > fillPatience {
		f.rate, f.rest = 0, now+fillRest
	}
}

// fill sends padding behind the frame that was sent now, where it does not look
// like a delay to a receiver that compares arrivals with timestamps.
func (m *member) fill(sh *shard, now int64) {
	f := &m.filler
	if f.rate == 0 || m.video.newest.arrival == f.newest {
		return
	}
	f.newest = m.video.newest.arrival
	f.owed += int64(f.rate) / 8 * min(now-f.until, fillMost) / int64(time.Second)
	f.until = now
	for f.owed > 0 {
		f.owed -= int64(m.video.pad(sh))
	}
}

// sent is the total of bytes that were sent to the viewer.
func (m *member) sent() (bytes uint64) {
	for _, o := range []*outlet{m.video, m.audio} {
		if o != nil {
			bytes += o.bytes
		}
	}
	return bytes
}
