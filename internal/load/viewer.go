package load

import (
	"context"
	"encoding/binary"
	"errors"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
)

// kind is what a payload type carries.
type kind uint8

const (
	unknown kind = iota
	video
	audio
	resend
)

// tally counts what the viewers of one reactor receive. The reactor writes,
// anybody reads.
type tally struct {
	packets atomic.Uint64 // of media
	bytes   atomic.Uint64 // of media: SRTP packets, as UDP payload
	other   atomic.Uint64 // packets of RTX and probing

	// Owned by the reactor.
	forward histogram // from a packet's sending to its arrival, of probes
	frames  histogram // the same, for the last packet of each frame
}

// Limits of what a viewer does until its first keyframe.
const (
	heldPackets  = 256  // that wait for the keys
	openedMost   = 2000 // that are decrypted in search of a keyframe
	mediaStreams = 4    // that are followed
)

// viewer is one WHEP session. Its media state belongs to the reactor.
type viewer struct {
	peer

	probe    bool
	codec    string // preferred
	feedback Feedback
	ssrc     uint32 // of its reports
	tally    *tally
	profile  string // of SRTP, once connected

	kinds   [128]kind
	codecs  map[uint8]string
	streams [mediaStreams]reception
	count   int // of streams

	in, out *srtp.Context
	held    [][]byte
	heldAt  []int64
	opening bool // packets are decrypted
	opened  int
	plain   []byte
	header  rtp.Header

	lastNumber uint32 // of the stamps
	firstFrame uint32 // of the stamps
	lastFrame  uint32
	gotFrames  uint64
	frameSent  int64 // when the last packet of the frame that arrives was sent; 0: not yet known

	firstMedia int64
	lastMedia  int64
	firstKey   int64
	visits     int
	expired    bool // the server has not answered for long
	arrivals   arrivals
}

// join makes the viewer a session. The viewer is closed by its owner, also
// after an error.
func (v *viewer) join(ctx context.Context, random uint32) error {
	v.media, v.opening, v.ssrc = v, true, random
	if err := v.open(); err != nil {
		return err
	}
	keys, err := v.connect(ctx, offer{codec: v.codec, twcc: v.feedback.TransportCC, remb: v.feedback.REMB > 0}, v.answered)
	if err != nil {
		return err
	}
	in, err := srtp.CreateContext(keys.Keys.RemoteMasterKey, keys.Keys.RemoteMasterSalt, keys.Profile)
	if err != nil {
		return err
	}
	out, err := srtp.CreateContext(keys.Keys.LocalMasterKey, keys.Keys.LocalMasterSalt, keys.Profile)
	if err != nil {
		return err
	}
	v.profile = keys.Profile.String()
	if !v.reactor.do(func() { v.keyed(in, out) }) {
		return errors.New("the reactor has ended")
	}
	return nil
}

// answered learns what the payload types mean.
func (v *viewer) answered(a *answer) {
	v.codecs = a.formats
	for pt, name := range a.formats {
		switch name {
		case "opus", "red", "pcmu", "pcma":
			v.kinds[pt] = audio
		case "rtx":
			v.kinds[pt] = resend
		default:
			v.kinds[pt] = video
		}
	}
	v.arrivals.ext = a.twccExt
	_ = v.socket.stamps(true) // without them the time of reading counts
}

// keyed takes the SRTP keys.
func (v *viewer) keyed(in, out *srtp.Context) {
	v.in, v.out = in, out
	for i, b := range v.held {
		v.decrypt(b, v.heldAt[i])
	}
	v.held, v.heldAt = nil, nil
	v.reactor.add(v)
}

// rtp implements media.
func (v *viewer) rtp(b []byte, size int, at int64) {
	k := v.kinds[b[1]&0x7f]
	if k != video && k != audio {
		v.tally.other.Add(1)
		v.arrivals.note(b, at)
		return
	}
	s := v.stream(binary.BigEndian.Uint32(b[8:]), k)
	if s == nil {
		return
	}
	s.take(b, size, at)
	if v.firstMedia == 0 {
		v.firstMedia = at
	}
	v.lastMedia = at
	v.tally.packets.Add(1)
	v.tally.bytes.Add(uint64(size))
	v.arrivals.note(b, at)
	if v.opening && k == video {
		v.look(b, at)
	}
}

// stream is the state of an SSRC, nil when there are too many.
func (v *viewer) stream(ssrc uint32, k kind) *reception {
	for i := range v.streams[:v.count] {
		if v.streams[i].ssrc == ssrc {
			return &v.streams[i]
		}
	}
	if v.count == mediaStreams {
		return nil
	}
	s := &v.streams[v.count]
	v.count++
	s.ssrc, s.clock = ssrc, videoClock
	if k == audio {
		s.clock = 48000
	}
	return s
}

// look decrypts a packet, or keeps it until the keys are there.
func (v *viewer) look(b []byte, at int64) {
	if v.in != nil {
		v.decrypt(b, at)
		return
	}
	if len(v.held) < heldPackets {
		v.held = append(v.held, append([]byte(nil), b...))
		v.heldAt = append(v.heldAt, at)
	}
}

// decrypt looks for the first keyframe and for stamps.
func (v *viewer) decrypt(b []byte, at int64) {
	v.opened++
	v.header = rtp.Header{}
	plain, err := v.in.DecryptRTP(v.plain[:0], b, &v.header)
	if err != nil {
		return
	}
	v.plain = plain
	payload := plain[v.header.MarshalSize():]
	if v.firstKey == 0 && startsKeyframe(v.codecs[v.header.PayloadType], payload) {
		v.firstKey = at
	}
	if v.probe {
		v.measure(payload, at)
		return
	}
	if v.firstKey != 0 || v.opened > openedMost {
		v.lighten()
	}
}

// lighten ends decryption: from now on only heads are read.
func (v *viewer) lighten() {
	v.opening, v.plain, v.socket.whole = false, nil, false
	if v.arrivals.ext == 0 {
		_ = v.socket.stamps(false) // only costs
	}
}

// measure counts the delays that a payload's stamps tell.
func (v *viewer) measure(payload []byte, at int64) {
	for s, rest, ok := nextStamp(payload); ok; s, rest, ok = nextStamp(rest) {
		if s.number != v.lastNumber {
			v.tally.forward.add(time.Duration(at - s.sent))
			v.lastNumber = s.number
		}
		if s.last {
			v.frameSent, v.lastFrame = s.sent, max(v.lastFrame, s.frame)
		}
	}
	if !v.header.Marker || v.frameSent == 0 {
		return
	}
	if v.gotFrames == 0 {
		v.firstFrame = v.lastFrame
	}
	v.gotFrames++
	v.tally.frames.add(time.Duration(at - v.frameSent))
	v.frameSent = 0
}

// expectedFrames is how many frames were published since the first that ended
// here.
func (v *viewer) expectedFrames() uint64 {
	if v.gotFrames == 0 {
		return 0
	}
	return uint64(v.lastFrame-v.firstFrame) + 1
}

// rtcp implements media: sender reports are noted for our own.
func (v *viewer) rtcp(b []byte, at int64) {
	if v.in == nil {
		return
	}
	plain, err := v.in.DecryptRTCP(nil, b, nil)
	if err != nil {
		return
	}
	packets, err := rtcp.Unmarshal(plain)
	if err != nil {
		return
	}
	for _, p := range packets {
		sr, ok := p.(*rtcp.SenderReport)
		if !ok {
			continue
		}
		for i := range v.streams[:v.count] {
			if s := &v.streams[i]; s.ssrc == sr.SSRC {
				s.report, s.reportAt = uint32(sr.NTPTime>>16), at
			}
		}
	}
}

// consentSeconds is how often consent is asked for.
const consentSeconds = 4

// visit implements visited: it sends what is due.
func (v *viewer) visit(now int64) {
	v.visits++
	if feedback := v.arrivals.feedback(v.ssrc, v.streams[0].ssrc); feedback != nil {
		v.send(feedback)
	}
	if v.visits%visitsPerSecond == 0 && v.count > 0 {
		v.send(v.report(now))
	}
	if v.visits%(consentSeconds*visitsPerSecond) == 0 && !v.ice.consent(now) {
		v.expired = true
	}
}

// report is the receiver report of this second.
func (v *viewer) report(now int64) []byte {
	rr := &rtcp.ReceiverReport{SSRC: v.ssrc}
	var media []uint32
	for i := range v.streams[:v.count] {
		rr.Reports = append(rr.Reports, v.streams[i].receiverReport(now))
		media = append(media, v.streams[i].ssrc)
	}
	packets := []rtcp.Packet{rr}
	if v.feedback.REMB > 0 {
		packets = append(packets, &rtcp.ReceiverEstimatedMaximumBitrate{SenderSSRC: v.ssrc, Bitrate: float32(v.feedback.REMB), SSRCs: media})
	}
	b, err := rtcp.Marshal(packets)
	if err != nil {
		return nil
	}
	return b
}

// send encrypts and sends an RTCP packet.
func (v *viewer) send(plain []byte) {
	sealed, err := v.out.EncryptRTCP(nil, plain, nil)
	if err == nil {
		_ = v.socket.send(sealed, v.remote) // the next report says the same
	}
}

// leave ends the session.
func (v *viewer) leave(ctx context.Context) error {
	v.reactor.do(func() { v.reactor.remove(v) })
	return v.close(ctx)
}
