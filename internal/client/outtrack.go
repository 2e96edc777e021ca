package client

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"github.com/sluice-live/sluice/internal/client/clips"
)

const (
	payloadMTU = 1160 // bytes; with the header and its extensions a packet stays below 1200
	resendRing = 1024 // packets kept for retransmission
	streamID   = "sluice"
)

// outTrack sends one track of a clip: a webrtc.TrackLocal that writes the mid and
// rid header extensions, keeps what it sent and answers NACKs.
type outTrack struct {
	media     *clips.Track
	rid       string // "" without simulcast
	clock     uint32
	baseTime  uint32 // RTP timestamp of media time 0
	payloader rtp.Payloader
	cursor    cursor // of the pacer

	packets, bytes, resent, nacks, plis, keyframes atomic.Uint64

	wantKey atomic.Bool

	mu     sync.Mutex
	wire   *wire // nil until bound
	mid    string
	seq    uint16
	rtxSeq uint16
	sent   [resendRing]sentPacket
	octets uint32 // payload bytes, for sender reports
}

// wire is what negotiation settled.
type wire struct {
	writer                 webrtc.TrackLocalWriter
	ssrc, rtxSSRC          uint32
	pt, rtxPT              uint8 // rtxPT 0: no RTX
	midExt, ridExt, rtxExt uint8 // 0: not negotiated
}

type sentPacket struct {
	used      bool
	seq       uint16
	timestamp uint32
	marker    bool
	payload   []byte
}

func newOutTrack(media *clips.Track, rid string) (*outTrack, error) {
	t := &outTrack{
		media: media, rid: rid, clock: clockRate,
		baseTime: rand.Uint32(), seq: uint16(rand.Uint32()), rtxSeq: uint16(rand.Uint32()),
	}
	switch media.Codec {
	case clips.H264:
		t.payloader = &codecs.H264Payloader{}
	case clips.H265:
		t.payloader = &codecs.H265Payloader{}
	case clips.VP8:
		t.payloader = &codecs.VP8Payloader{EnablePictureID: true}
	case clips.VP9:
		t.payloader = &codecs.VP9Payloader{}
	case clips.AV1:
		t.payloader = &codecs.AV1Payloader{}
	case clips.Opus:
		t.payloader, t.clock = &codecs.OpusPayloader{}, 48000
	default:
		return nil, fmt.Errorf("cannot send %s", media.Codec)
	}
	return t, nil
}

// ID implements webrtc.TrackLocal.
func (t *outTrack) ID() string { return t.Kind().String() }

// RID implements webrtc.TrackLocal.
func (t *outTrack) RID() string { return t.rid }

// StreamID implements webrtc.TrackLocal.
func (t *outTrack) StreamID() string { return streamID }

// Kind implements webrtc.TrackLocal.
func (t *outTrack) Kind() webrtc.RTPCodecType {
	if t.media.Codec == clips.Opus {
		return webrtc.RTPCodecTypeAudio
	}
	return webrtc.RTPCodecTypeVideo
}

// Bind implements webrtc.TrackLocal.
func (t *outTrack) Bind(c webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	w := &wire{writer: c.WriteStream(), ssrc: uint32(c.SSRC()), rtxSSRC: uint32(c.SSRCRetransmission())}
	var chosen webrtc.RTPCodecParameters
	for _, codec := range c.CodecParameters() {
		if _, name, _ := strings.Cut(codec.MimeType, "/"); strings.EqualFold(name, string(t.media.Codec)) {
			chosen = codec
			break
		}
	}
	if chosen.MimeType == "" {
		return chosen, fmt.Errorf("the server does not take %s", t.media.Codec)
	}
	w.pt = uint8(chosen.PayloadType)
	for _, codec := range c.CodecParameters() {
		if strings.EqualFold(codec.MimeType, webrtc.MimeTypeRTX) && codec.SDPFmtpLine == fmt.Sprintf("apt=%d", w.pt) {
			w.rtxPT = uint8(codec.PayloadType)
		}
	}
	for _, ext := range c.HeaderExtensions() {
		switch ext.URI {
		case sdp.SDESMidURI:
			w.midExt = uint8(ext.ID)
		case sdp.SDESRTPStreamIDURI:
			w.ridExt = uint8(ext.ID)
		case sdp.SDESRepairRTPStreamIDURI:
			w.rtxExt = uint8(ext.ID)
		}
	}
	t.mu.Lock()
	t.wire = w
	t.mu.Unlock()
	return chosen, nil
}

// Unbind implements webrtc.TrackLocal.
func (t *outTrack) Unbind(webrtc.TrackLocalContext) error {
	t.mu.Lock()
	t.wire = nil
	t.mu.Unlock()
	return nil
}

// timestamp returns the RTP time of a media time.
func (t *outTrack) timestamp(at time.Duration) uint32 {
	seconds, rest := at/time.Second, at%time.Second
	return t.baseTime + uint32(int64(seconds)*int64(t.clock)+int64(rest)*int64(t.clock)/int64(time.Second))
}

// send packetizes one frame of media time at.
func (t *outTrack) send(frame []byte, at time.Duration, key bool) error {
	payloads := t.payloader.Payload(payloadMTU, frame)
	if key && t.Kind() == webrtc.RTPCodecTypeVideo {
		t.keyframes.Add(1)
	}
	timestamp := t.timestamp(at)
	for i, payload := range payloads {
		marker := i == len(payloads)-1 && t.Kind() == webrtc.RTPCodecTypeVideo
		if err := t.write(sentPacket{used: true, timestamp: timestamp, marker: marker, payload: payload}); err != nil {
			return err
		}
	}
	return nil
}

func (t *outTrack) write(p sentPacket) error {
	t.mu.Lock()
	w := t.wire
	p.seq = t.seq
	if w != nil {
		t.seq++
		t.sent[p.seq%resendRing] = p
		t.octets += uint32(len(p.payload))
	}
	mid := t.mid
	t.mu.Unlock()
	if w == nil {
		return errors.New("the track is not negotiated")
	}
	header := rtp.Header{
		Version: 2, Marker: p.marker, PayloadType: w.pt, SSRC: w.ssrc,
		SequenceNumber: p.seq, Timestamp: p.timestamp,
	}
	if err := setText(&header, w.midExt, mid); err != nil {
		return err
	}
	if err := setText(&header, w.ridExt, t.rid); err != nil {
		return err
	}
	n, err := w.writer.WriteRTP(&header, p.payload)
	t.packets.Add(1)
	t.bytes.Add(uint64(n))
	return err
}

// resend answers a NACK, on the RTX stream (RFC 4588) when there is one.
func (t *outTrack) resend(seq uint16) error {
	t.nacks.Add(1)
	t.mu.Lock()
	p, w, mid := t.sent[seq%resendRing], t.wire, t.mid
	if w == nil || !p.used || p.seq != seq {
		t.mu.Unlock()
		return nil
	}
	header := rtp.Header{
		Version: 2, Marker: p.marker, PayloadType: w.pt, SSRC: w.ssrc,
		SequenceNumber: p.seq, Timestamp: p.timestamp,
	}
	payload, ridExt := p.payload, w.ridExt
	if w.rtxPT != 0 && w.rtxSSRC != 0 {
		header.PayloadType, header.SSRC, header.SequenceNumber = w.rtxPT, w.rtxSSRC, t.rtxSeq
		t.rtxSeq++
		payload = append([]byte{byte(seq >> 8), byte(seq)}, payload...)
		ridExt = w.rtxExt
	}
	t.mu.Unlock()
	if err := setText(&header, w.midExt, mid); err != nil {
		return err
	}
	if err := setText(&header, ridExt, t.rid); err != nil {
		return err
	}
	t.resent.Add(1)
	_, err := w.writer.WriteRTP(&header, payload)
	return err
}

func setText(h *rtp.Header, id uint8, value string) error {
	if id == 0 || value == "" {
		return nil
	}
	return h.SetExtension(id, []byte(value))
}

// feedback handles RTCP that the server sent about this track.
func (t *outTrack) feedback(packets []rtcp.Packet) error {
	for _, packet := range packets {
		switch p := packet.(type) {
		case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
			t.plis.Add(1)
			t.wantKey.Store(true)
		case *rtcp.TransportLayerNack:
			for _, pair := range p.Nacks {
				for _, seq := range pair.PacketList() {
					if err := t.resend(seq); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// report makes a sender report for media time at, which is the wall clock now.
// Nil before the first packet.
func (t *outTrack) report(now time.Time, at time.Duration) *rtcp.SenderReport {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.wire == nil || t.packets.Load() == 0 {
		return nil
	}
	return &rtcp.SenderReport{
		SSRC: t.wire.ssrc, NTPTime: ntpTime(now), RTPTime: t.timestamp(at),
		PacketCount: uint32(t.packets.Load()), OctetCount: t.octets,
	}
}

// ntpTime is a wall clock in the 64-bit format of RFC 3550 section 4.
func ntpTime(t time.Time) uint64 {
	const toUnix = 2208988800 // seconds from 1900 to 1970
	seconds := uint64(t.Unix() + toUnix)
	return seconds<<32 | uint64(t.Nanosecond())<<32/uint64(time.Second)
}
