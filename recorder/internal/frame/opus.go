package frame

import (
	"strings"

	mcopus "github.com/bluenviron/mediacommon/v2/pkg/codecs/opus"

	"github.com/sluice-live/sluice"
)

// OpusRate is the clock of Opus in RTP and MP4.
const OpusRate = 48000

// Opus makes units of an Opus track: each packet is one (RFC 7587).
type Opus struct{ told bool }

// Push calls emit with the packet's unit.
func (o *Opus) Push(p *sluice.Packet, emit func(Unit)) {
	if len(p.Payload) == 0 {
		return
	}
	ticks := mcopus.PacketDuration2(p.Payload)
	if ticks <= 0 || ticks > 120*OpusRate/1000 {
		return
	}
	u := Unit{Timestamp: p.Timestamp, Captured: p.Captured, Key: true, Data: p.Payload, Ticks: uint32(ticks), Gap: p.Lost > 0}
	if !o.told {
		o.told = true
		u.Format = &Format{Codec: "OPUS", MIME: "opus", Channels: opusChannels(p.Track.Format)}
	}
	emit(u)
}

// opusChannels: Opus in WebRTC decodes to two channels whatever was encoded; mono
// is what a publisher says that it sends.
func opusChannels(fmtp string) int {
	if strings.TrimSpace(parameter(fmtp, "sprop-stereo")) == "0" {
		return 1
	}
	return 2
}

// Silence returns packets that decode to nothing for at most the given ticks,
// and how many ticks they last: the longest first, 2.5 ms at least. Each is a
// CELT frame that codes silence (RFC 6716 section 4.3).
func Silence(ticks int64, each func(data []byte, ticks uint32)) {
	for _, step := range []struct {
		ticks uint32
		toc   byte
	}{{960, 31 << 3}, {480, 30 << 3}, {240, 29 << 3}, {120, 28 << 3}} {
		for ticks >= int64(step.ticks) {
			each([]byte{step.toc | 4, 0xff, 0xfe}, step.ticks)
			ticks -= int64(step.ticks)
		}
	}
}
