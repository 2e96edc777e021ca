package sfu

import (
	"sync"
	"sync/atomic"
	"time"
)

// clock maps a layer's RTP timestamps to capture time on the SFU's clock. All
// layers of a publisher share one offset between its NTP clock and ours, so
// that audio and video, and one layer and the next, stay aligned.
type clock struct {
	hertz  uint32
	offset *ntpOffset
	report atomic.Pointer[senderReport]
	first  atomic.Pointer[arrival]
	step   int64 // by how much the publisher's clock has been set since its first report; its reader's only
}

// senderReport is the mapping that an RTCP sender report gives (RFC 3550
// section 6.4.1).
type senderReport struct {
	ntp       int64 // nanoseconds since 1900 on the publisher's clock, as if it had never been set
	timestamp uint32
	at        int64 // SFU clock: when it came
}

// arrival is the mapping that serves until a report comes.
type arrival struct {
	at        int64 // SFU clock
	timestamp uint32
}

// ntpOffset is the least difference seen lately between our clock and a
// publisher's NTP clock: network delay only ever adds to it, and clocks drift.
type ntpOffset struct {
	nanos atomic.Pointer[int64]

	mu      sync.Mutex
	since   int64 // when the present window began; SFU clock
	present int64 // least sample in it
	before  int64 // and in the one before
	seen    bool
	step    int64 // by how much the publisher's clock has been set, as the newest layer found
}

// offsetWindow is how long a sample counts, at least once and at most twice.
const offsetWindow = int64(15 * time.Second)

func (o *ntpOffset) observe(ntp, now int64) {
	sample := now - ntp
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case !o.seen || now-o.since > 2*offsetWindow:
		o.seen, o.since, o.present, o.before = true, now, sample, sample
	case now-o.since > offsetWindow:
		o.since, o.before, o.present = now, o.present, sample
	default:
		o.present = min(o.present, sample)
	}
	least := min(o.present, o.before)
	o.nanos.Store(&least)
}

// observe takes a sender report that arrived now.
func (c *clock) observe(ntp uint64, timestamp uint32, now int64) {
	nanos := ntpNanos(ntp)
	before := c.report.Load()
	if before == nil {
		c.step = c.offset.steps()
	}
	nanos -= c.step
	if before != nil {
		if step := c.stepped(before, nanos, timestamp, now); step != 0 {
			c.step += step
			nanos -= step
			c.offset.setSteps(c.step)
		}
	}
	c.offset.observe(nanos, now)
	c.report.Store(&senderReport{nanos, timestamp, now})
}

// clockStep is how far a publisher's NTP clock may be from its media clock,
// between two reports, before it counts as having been set.
const clockStep = int64(250 * time.Millisecond)

// stepped returns by how much the publisher's clock was set since a report: its
// NTP time says something else than the media clock, and that is nearer to what
// has passed here. Media goes on as if nothing had happened.
func (c *clock) stepped(before *senderReport, ntp int64, timestamp uint32, now int64) int64 {
	media := int64(int32(timestamp-before.timestamp)) * int64(time.Second) / int64(c.hertz)
	said, passed := ntp-before.ntp, now-before.at
	off := said - media
	if max(off, -off) <= clockStep || max(media-passed, passed-media) >= max(said-passed, passed-said) {
		return 0
	}
	return off
}

func (o *ntpOffset) steps() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.step
}

func (o *ntpOffset) setSteps(step int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.step = step
}

// start notes the first packet.
func (c *clock) start(timestamp uint32, now int64) { c.first.Store(&arrival{now, timestamp}) }

// advance moves the first packet's mapping on before the distance to the newest
// timestamp no longer fits its 32 bits: a publisher may never send a report.
func (c *clock) advance(newest uint32) {
	f := c.first.Load()
	if f == nil {
		return
	}
	if seconds := int64(int32(newest-f.timestamp)) / int64(c.hertz); seconds > 3600 {
		c.first.Store(&arrival{f.at + seconds*int64(time.Second), f.timestamp + uint32(seconds*int64(c.hertz))})
	}
}

// exact reports whether capture times come from sender reports.
func (c *clock) exact() bool { return c.report.Load() != nil }

// captured returns when a timestamp was captured, on the SFU's clock.
func (c *clock) captured(timestamp uint32) int64 {
	at, ref := c.reference()
	return at + int64(int32(timestamp-ref))*int64(time.Second)/int64(c.hertz)
}

// timestampAt returns the timestamp of what is captured at a time.
func (c *clock) timestampAt(at int64) uint32 {
	refAt, ref := c.reference()
	return ref + uint32((at-refAt)/1000*int64(c.hertz)/1_000_000)
}

func (c *clock) reference() (at int64, timestamp uint32) {
	if r := c.report.Load(); r != nil {
		return r.ntp + *c.offset.nanos.Load(), r.timestamp
	}
	if f := c.first.Load(); f != nil {
		return f.at, f.timestamp
	}
	return 0, 0
}

// ntpNanos converts a 64-bit NTP timestamp to nanoseconds.
func ntpNanos(ntp uint64) int64 {
	return int64(ntp>>32)*int64(time.Second) + int64((ntp&0xffffffff)*uint64(time.Second)>>32)
}

// ntpEpoch is the Unix epoch in seconds since 1900.
const ntpEpoch = 2208988800

// ntpTime converts wall time to a 64-bit NTP timestamp.
func ntpTime(t time.Time) uint64 {
	return uint64(t.Unix()+ntpEpoch)<<32 | uint64(t.Nanosecond())<<32/uint64(time.Second)
}
