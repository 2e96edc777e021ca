package ffmpeg

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"time"
)

// Sound turns Opus packets into AAC.
type Sound struct {
	runner
	epoch *sounds
}

// Constants of AAC-LC out of ffmpeg's encoder.
const (
	SoundRate  = 48000
	SoundTicks = 1024 // of one frame
	priming    = 1024 // samples that come out before the first that went in
)

// sounds is what went into one child and what came out.
type sounds struct {
	at    int64 // samples that went in
	marks []mark
	out   int64 // samples that came out
	page  uint32
	ready chan []byte
}

// mark says which tick a sample has.
type mark struct{ sample, tick int64 }

// NewSound returns a transcoder.
func NewSound(cfg Config) *Sound { return &Sound{runner: runner{cfg: cfg}} }

// Push takes the packet of a tick, which lasts for some ticks. There must be no
// hole between packets.
func (s *Sound) Push(now time.Time, tick int64, packet []byte, ticks int64) {
	if !s.ready(now) && !s.begin(now) {
		return
	}
	e := s.epoch
	e.marks = append(e.marks, mark{e.at, tick})
	e.at += ticks
	if !s.child.feed(e.ogg(0, uint64(e.at), packet)) {
		s.cfg.Log.Warn("transcoder of sound is too slow")
		s.bury()
	}
}

func (s *Sound) begin(now time.Time) bool {
	e := &sounds{ready: make(chan []byte, outQueue)}
	args := append(common(), "-analyzeduration", "0", "-threads", "1", "-f", "ogg", "-i", "pipe:0",
		"-vn", "-c:a", "aac", "-b:a", "128k", "-ar", "48000", "-ac", "2", "-flush_packets", "1", "-f", "adts", "pipe:1")
	if !s.start(now, args, e.read) {
		return false
	}
	s.epoch = e
	head := []byte("OpusHead\x01\x02\x00\x00\x80\xbb\x00\x00\x00\x00\x00")
	tags := []byte("OpusTags\x00\x00\x00\x00\x00\x00\x00\x00")
	return s.child.feed(append(e.ogg(2, 0, head), e.ogg(0, 0, tags)...))
}

// Fetch calls emit with the frames that have come out, in order.
func (s *Sound) Fetch(emit func(Unit)) {
	if s.epoch == nil {
		return
	}
	for {
		select {
		case data := <-s.epoch.ready:
			if tick, ok := s.epoch.next(); ok {
				emit(Unit{Tick: tick, Key: true, Data: data})
			}
		default:
			return
		}
	}
}

// next returns the tick of the frame that comes out now; what comes before the
// first sample that went in has none.
func (e *sounds) next() (int64, bool) {
	sample := e.out - priming
	e.out += SoundTicks
	if sample < 0 || len(e.marks) == 0 {
		return 0, false
	}
	for len(e.marks) > 1 && e.marks[1].sample <= sample {
		e.marks = e.marks[1:]
	}
	return e.marks[0].tick + sample - e.marks[0].sample, true
}

// Limit ends a child that is behind by more than most, or too large: another begins
// with what comes next.
func (s *Sound) Limit(now time.Time, most time.Duration) {
	if s.child != nil {
		s.limit(now, time.Duration(s.epoch.at-s.epoch.out)*time.Second/SoundRate, most)
	}
}

// Drain calls emit with the frames that are still to come out, and ends the child,
// which has up to a time for that.
func (s *Sound) Drain(until time.Time, emit func(Unit)) { s.drain(until, func() { s.Fetch(emit) }) }

// Close ends the child.
func (s *Sound) Close() { s.bury() }

// read takes ADTS apart (ISO/IEC 13818-7 section 6.2).
func (e *sounds) read(ctx context.Context, r io.Reader) error {
	b := bufio.NewReader(r)
	head := make([]byte, 7)
	for {
		if _, err := io.ReadFull(b, head); err != nil {
			return err
		}
		if head[0] != 0xff || head[1]&0xf0 != 0xf0 {
			return errors.New("what came out is no ADTS")
		}
		size := int(head[3]&3)<<11 | int(head[4])<<3 | int(head[5]>>5)
		size -= len(head)
		if head[1]&1 == 0 { // a checksum
			if _, err := b.Discard(2); err != nil {
				return err
			}
			size -= 2
		}
		if size < 0 {
			return errors.New("what came out is no ADTS")
		}
		data := make([]byte, size)
		if _, err := io.ReadFull(b, data); err != nil {
			return err
		}
		select {
		case e.ready <- data:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ogg makes a page of one packet (RFC 3533 section 6).
func (e *sounds) ogg(kind byte, granule uint64, packet []byte) []byte {
	segments := len(packet)/255 + 1
	b := make([]byte, 0, 27+segments+len(packet))
	b = append(b, 'O', 'g', 'g', 'S', 0, kind)
	b = binary.LittleEndian.AppendUint64(b, granule)
	b = binary.LittleEndian.AppendUint32(b, 1) // serial number
	b = binary.LittleEndian.AppendUint32(b, e.page)
	b = append(b, 0, 0, 0, 0, byte(segments))
	e.page++
	for range segments - 1 {
		b = append(b, 255)
	}
	b = append(b, byte(len(packet)%255))
	b = append(b, packet...)
	binary.LittleEndian.PutUint32(b[22:], oggChecksum(b))
	return b
}

// oggChecksum is the CRC with the polynomial 0x04c11db7, not reflected.
func oggChecksum(b []byte) (crc uint32) {
	for _, c := range b {
		crc ^= uint32(c) << 24
		for range 8 {
			if crc&(1<<31) != 0 {
				crc = crc<<1 ^ 0x04c11db7
			} else {
				crc <<= 1
			}
		}
	}
	return crc
}
