package ffmpeg

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
)

// Unit is what comes out of a transcoder.
type Unit struct {
	Tick int64 // of what went in
	Key  bool
	Data []byte   // as an MP4 sample
	Sets [][]byte // SPS and PPS, where they are new
}

// Picture turns VP8 or VP9 frames into H.264, one for one.
type Picture struct {
	runner
	fourCC        string
	width, height int
	epoch         *pictures
	out           []Unit
}

// pictures is what went into one child and what came out.
type pictures struct {
	base  int64
	sent  []int64 // ticks of frames that have not come out yet, rising; its fetcher's
	ready chan Unit
	sets  [][]byte
}

// NewPicture returns a transcoder of "VP8" or "VP9".
func NewPicture(cfg Config, codec string) *Picture {
	fourCC := "VP80"
	if codec == "VP9" {
		fourCC = "VP90"
	}
	return &Picture{runner: runner{cfg: cfg}, fourCC: fourCC}
}

// pictureRate is the clock of ticks.
const pictureRate = 90000

// Push takes the frame of a tick. Frames before the first keyframe, and from a
// death of the child to the next one, are left out. width and height are those
// of the newest keyframe: another size needs another child.
func (p *Picture) Push(now time.Time, tick int64, key bool, frame []byte, width, height int) {
	alive := p.ready(now)
	if key && alive && (width != p.width || height != p.height) {
		p.drain()
		p.bury()
		alive = false
	}
	if !alive {
		if !key || !p.begin(now, tick, width, height) {
			return
		}
	}
	head := binary.LittleEndian.AppendUint32(make([]byte, 0, 12+len(frame)), uint32(len(frame)))
	head = binary.LittleEndian.AppendUint64(head, uint64(tick-p.epoch.base))
	if !p.child.feed(append(head, frame...)) {
		p.cfg.Log.Warn("transcoder is too slow: frames are left out up to the next keyframe")
		p.bury()
		return
	}
	p.epoch.sent = append(p.epoch.sent, tick)
}

func (p *Picture) begin(now time.Time, tick int64, width, height int) bool {
	e := &pictures{base: tick, ready: make(chan Unit, outQueue)}
	if !p.start(now, pictureArgs(p.cfg.Encoder, width, height), e.read) {
		return false
	}
	p.epoch, p.width, p.height = e, width, height
	header := append([]byte("DKIF\x00\x00\x20\x00"), p.fourCC...)
	header = binary.LittleEndian.AppendUint16(header, uint16(width))
	header = binary.LittleEndian.AppendUint16(header, uint16(height))
	header = binary.LittleEndian.AppendUint32(header, pictureRate)
	header = binary.LittleEndian.AppendUint32(header, 1)
	header = append(header, make([]byte, 8)...)
	return p.child.feed(header)
}

// pictureArgs are the arguments of a child. It does not wait for the 20 pictures from which
// it would tell their rate.
func pictureArgs(encoder string, width, height int) []string {
	args := append(common(), "-fpsprobesize", "0", "-threads", "1", "-f", "ivf", "-i", "pipe:0",
		"-an", "-vf", evenSize, "-fps_mode", "passthrough", "-enc_time_base", "-1", "-pix_fmt", "yuv420p", "-c:v", encoder)
	args = append(args, encoderArgs(encoder)...)
	if encoder == "libx264" {
		bits := bitrate(width, height)
		args = append(args, "-b:v", strconv.Itoa(bits), "-maxrate", strconv.Itoa(bits*3/2), "-bufsize", strconv.Itoa(bits*2))
	}
	return append(args, "-bf", "0", "-g", "9999", "-sc_threshold", "0", "-force_key_frames", "source",
		"-flush_packets", "1", "-f", "flv", "-flvflags", "no_duration_filesize", "pipe:1")
}

// evenSize leaves out the last line or column of a picture of odd size, as a
// browser's scaled layer may be: 4:2:0 in H.264 is encoded in even sizes only.
const evenSize = "crop=floor(iw/2)*2:floor(ih/2)*2:0:0"

// encoderArgs make an encoder give each picture as soon as it can. Nobody knows the rate
// of what browsers send, and encoders take the clock's, which leaves each picture a few
// bits: libx264 is told a usual one; NVENC, which cannot be, gets a quality in place of a
// bit rate.
func encoderArgs(encoder string) []string {
	if encoder == "libx264" {
		return []string{"-preset", "superfast", "-tune", "zerolatency", "-profile:v", "main", "-threads", "2", "-x264-params", "fps=30"}
	}
	return []string{"-preset", "p2", "-tune", "ull", "-zerolatency", "1", "-forced-idr", "1", "-rc", "constqp", "-qp", "28"}
}

// bitrate is what looks well enough: a tenth of a bit for each of 30 pictures of
// so many pixels a second.
func bitrate(width, height int) int { return max(200_000, min(8_000_000, width*height*3)) }

// Fetch calls emit with what has come out, in order.
func (p *Picture) Fetch(emit func(Unit)) {
	p.drain()
	for _, u := range p.out {
		emit(u)
	}
	p.out = p.out[:0]
}

// drain takes what the child has given.
func (p *Picture) drain() {
	if p.epoch == nil {
		return
	}
	for {
		select {
		case u := <-p.epoch.ready:
			if p.epoch.exact(&u) {
				p.out = append(p.out, u)
			}
		default:
			return
		}
	}
}

// exact turns the milliseconds that FLV has into the tick of the frame that went
// in.
func (e *pictures) exact(u *Unit) bool {
	const half = pictureRate / 1000
	for i, tick := range e.sent {
		switch off := u.Tick - tick; {
		case off > half:
			continue
		case off < -half:
			return false
		}
		u.Tick = tick
		e.sent = e.sent[i+1:]
		return true
	}
	return false
}

// Limit ends a child that is behind by more than most, or too large: another begins with the next
// keyframe.
func (p *Picture) Limit(now time.Time, most time.Duration) {
	owed := int64(0)
	if p.child != nil && len(p.epoch.sent) > 0 {
		owed = p.epoch.sent[len(p.epoch.sent)-1] - p.epoch.sent[0]
	}
	p.limit(now, time.Duration(owed)*time.Second/pictureRate, most)
}

// Drain calls emit with the pictures that are still to come out, and ends the child,
// which has up to a time for that.
func (p *Picture) Drain(until time.Time, emit func(Unit)) {
	p.runner.drain(until, func() { p.Fetch(emit) })
}

// Close ends the child.
func (p *Picture) Close() { p.bury() }

var errFLV = errors.New("what came out is no FLV")

// read takes FLV apart (Adobe Flash Video specification 10.1, annex E).
func (e *pictures) read(ctx context.Context, r io.Reader) error {
	b := bufio.NewReaderSize(r, 64<<10)
	head := make([]byte, 13)
	if _, err := io.ReadFull(b, head); err != nil {
		return err
	}
	if string(head[:3]) != "FLV" {
		return errFLV
	}
	tag := make([]byte, 11)
	for {
		if _, err := io.ReadFull(b, tag); err != nil {
			return err
		}
		size := int(tag[1])<<16 | int(tag[2])<<8 | int(tag[3])
		if size > maxOutput {
			return fmt.Errorf("%w: a tag of %d bytes", errFLV, size)
		}
		body := make([]byte, size+4)
		if _, err := io.ReadFull(b, body); err != nil {
			return err
		}
		ms := int64(tag[7])<<24 | int64(tag[4])<<16 | int64(tag[5])<<8 | int64(tag[6])
		if tag[0] != 9 || size < 6 {
			continue
		}
		if err := e.picture(ctx, ms, body[:size]); err != nil {
			return err
		}
	}
}

func (e *pictures) picture(ctx context.Context, ms int64, body []byte) error {
	switch body[1] {
	case 0:
		sets, err := configSets(body[5:])
		if err != nil {
			return err
		}
		e.sets = sets
	case 1:
		u := Unit{Tick: e.base + ms*(pictureRate/1000), Key: body[0]>>4 == 1, Data: body[5:]}
		if u.Key {
			u.Sets = e.sets
		}
		select {
		case e.ready <- u:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// configSets returns the parameter sets of an AVCDecoderConfigurationRecord
// (ISO/IEC 14496-15 section 5.3.3.1).
func configSets(b []byte) (sets [][]byte, err error) {
	if len(b) < 6 {
		return nil, errFLV
	}
	count := int(b[5] & 0x1f)
	b = b[6:]
	for range 2 {
		for range count {
			if len(b) < 2 || len(b) < 2+(int(b[0])<<8|int(b[1])) {
				return nil, errFLV
			}
			n := int(b[0])<<8 | int(b[1])
			sets = append(sets, b[2:2+n])
			b = b[2+n:]
		}
		if len(b) == 0 {
			break
		}
		count, b = int(b[0]), b[1:]
	}
	return sets, nil
}
