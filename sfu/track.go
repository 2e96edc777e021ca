package sfu

import (
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"github.com/sluice-live/sluice/sfu/internal/codec"
)

// track is one outgoing RTP stream of a viewer's peer connection. Pion binds it
// while the answer is made; after that only the viewer's shard uses it.
type track struct {
	kind    webrtc.RTPCodecType
	stream  string
	writer  webrtc.TrackLocalWriter
	ssrc    uint32
	rtxSSRC uint32 // 0: not negotiated
	formats []trackFormat
	spare   []webrtc.RTPCodecParameters // formats that Pion does not know of
	twccID  uint8                       // header extension of transport-wide sequence numbers; 0: none
	delayID uint8                       // and of the playout delay
	timeID  uint8                       // and of the time of sending, which a receiver's own estimate needs
	fecSSRC uint32                      // of repair packets; 0: not negotiated
	fecPT   uint8
	fecSeq  uint16  // of the next repair packet; it goes on, for no AES-GCM nonce may come twice
	shield  *shield // makes repair packets; nil: not now

	media, rtx, fec rollover // of the SSRCs
	dependencyID    uint8    // header extension of the dependency descriptor
	sent            [sendTimeBytes]byte
}

// trackFormat is a negotiated payload type.
type trackFormat struct {
	codec   codec.Codec
	fmtp    string
	pt, rtx uint8 // rtx 0: none
	red     uint8 // RED that repeats it; 0: none
}

var _ webrtc.TrackLocal = (*track)(nil)

// Bind implements webrtc.TrackLocal.
func (t *track) Bind(ctx webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	t.writer = ctx.WriteStream()
	t.ssrc, t.rtxSSRC = uint32(ctx.SSRC()), uint32(ctx.SSRCRetransmission())
	t.twccID = extensionID(ctx.HeaderExtensions(), sdp.TransportCCURI)
	t.delayID = extensionID(ctx.HeaderExtensions(), playoutDelayURI)
	t.timeID = extensionID(ctx.HeaderExtensions(), sdp.ABSSendTimeURI)
	t.dependencyID = extensionID(ctx.HeaderExtensions(), codec.DependencyURI)
	agreed := append(slices.Clone(ctx.CodecParameters()), t.spare...)
	rtx, repeating := map[string]uint8{}, map[string]uint8{}
	for _, p := range agreed {
		if apt, ok := strings.CutPrefix(p.SDPFmtpLine, "apt="); ok {
			rtx[apt] = uint8(p.PayloadType)
		} else if pt, ok := repeats(p.SDPFmtpLine); ok && isRED(p.MimeType) {
			repeating[pt] = uint8(p.PayloadType)
		} else if isFlexFEC(p.MimeType) && t.kind == webrtc.RTPCodecTypeVideo {
			t.fecSSRC, t.fecPT = uint32(ctx.SSRCForwardErrorCorrection()), uint8(p.PayloadType)
		}
	}
	var first *webrtc.RTPCodecParameters
	for _, p := range agreed {
		c := codec.FromMimeType(p.MimeType)
		if c == codec.Unknown {
			continue
		}
		if first == nil {
			first = &p
		}
		t.formats = append(t.formats, trackFormat{
			codec: c, fmtp: p.SDPFmtpLine, pt: uint8(p.PayloadType), rtx: rtx[strconv.Itoa(int(p.PayloadType))],
			red: repeating[strconv.Itoa(int(p.PayloadType))],
		})
	}
	if t.kind == webrtc.RTPCodecTypeVideo && t.rtxSSRC == 0 {
		// A packet sent again in place must be the same to the last bit: one
		// AES-GCM nonce must not protect two headers.
		t.twccID, t.delayID, t.timeID, t.dependencyID = 0, 0, 0, 0
	}
	if first == nil {
		return webrtc.RTPCodecParameters{}, webrtc.ErrUnsupportedCodec
	}
	return *first, nil
}

// Unbind implements webrtc.TrackLocal.
func (t *track) Unbind(webrtc.TrackLocalContext) error { return nil }

// ID implements webrtc.TrackLocal.
func (t *track) ID() string { return t.kind.String() }

// RID implements webrtc.TrackLocal.
func (t *track) RID() string { return "" }

// StreamID implements webrtc.TrackLocal: all tracks of a viewer share it (WHEP,
// single stream).
func (t *track) StreamID() string { return t.stream }

// Kind implements webrtc.TrackLocal.
func (t *track) Kind() webrtc.RTPCodecType { return t.kind }

// rollover returns the rollover counter of one of the track's SSRCs.
func (t *track) rollover(ssrc uint32) *rollover {
	switch ssrc {
	case t.rtxSSRC:
		return &t.rtx
	case t.fecSSRC:
		return &t.fec
	}
	return &t.media
}

// format returns the payload type that suits a layer best, nil when its codec
// was not negotiated.
func (t *track) format(l *layer) *trackFormat {
	var best *trackFormat
	score := -1
	for i := range t.formats {
		f := &t.formats[i]
		if f.codec != l.codec {
			continue
		}
		if s := similarity(f.fmtp, l.fmtp); s > score {
			best, score = f, s
		}
	}
	return best
}

// similarity counts how well two format parameter lists agree: first the
// packetization mode, then the profile.
func similarity(a, b string) int {
	score := 0
	if parameter(a, "packetization-mode") == parameter(b, "packetization-mode") {
		score += 4
	}
	if profile := parameter(a, "profile-level-id"); len(profile) >= 4 {
		other := parameter(b, "profile-level-id")
		if len(other) >= 4 && strings.EqualFold(profile[:4], other[:4]) {
			score += 2
		} else if len(other) >= 4 && strings.EqualFold(profile[:2], other[:2]) {
			score++
		}
	}
	for _, key := range []string{"profile-id", "profile"} {
		if parameter(a, key) == parameter(b, key) {
			score++
		}
	}
	return score
}

func parameter(fmtp, key string) string {
	for part := range strings.SplitSeq(fmtp, ";") {
		k, v, _ := strings.Cut(strings.TrimSpace(part), "=")
		if strings.EqualFold(k, key) {
			return v
		}
	}
	return ""
}
