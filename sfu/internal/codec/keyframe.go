package codec

// Keyframe reports whether the payload of an RTP packet shows that its frame
// is a keyframe from which a decoder can start. Packets in the middle of a
// keyframe need not show it.
func (c Codec) Keyframe(payload []byte) bool {
	switch c {
	case H264:
		return h264Keyframe(payload)
	case VP8:
		return vp8Keyframe(payload)
	case VP9:
		return vp9Keyframe(payload)
	case AV1:
		return av1Keyframe(payload)
	case H265:
		return h265Keyframe(payload)
	}
	return false
}

const (
	h264IDR   = 5
	h264SPS   = 7
	h264STAPA = 24
	h264FUA   = 28
)

// h264Keyframe follows RFC 6184: a single NAL unit, an aggregate (STAP-A), or
// the first fragment (FU-A) of an IDR slice or sequence parameter set.
func h264Keyframe(b []byte) bool {
	key := false
	h264NALUs(b, func(kind byte, _ []byte) bool {
		key = kind == h264IDR || kind == h264SPS
		return !key
	})
	return key
}

// h264NALUs calls f with the type and bytes of each NAL unit that starts in the
// payload until f returns false. A fragment is given from its start only.
func h264NALUs(b []byte, f func(kind byte, nalu []byte) bool) {
	if len(b) < 2 {
		return
	}
	switch kind := b[0] & 0x1f; kind {
	case h264STAPA:
		aggregated(b[1:], 1, func(nalu []byte) bool { return f(nalu[0]&0x1f, nalu) })
	case h264FUA:
		if b[1]&0x80 != 0 {
			f(b[1]&0x1f, nil)
		}
	default:
		f(kind, b)
	}
}

// aggregated calls f with each length-prefixed unit of at least minimum bytes
// until f returns false.
func aggregated(b []byte, minimum int, f func([]byte) bool) {
	for len(b) > 2 {
		n := int(b[0])<<8 | int(b[1])
		b = b[2:]
		if n < minimum || n > len(b) || !f(b[:n]) {
			return
		}
		b = b[n:]
	}
}

const (
	h265FirstIRAP = 16
	h265LastIRAP  = 23
	h265VPS       = 32
	h265SPS       = 33
	h265AP        = 48
	h265FU        = 49
)

// h265Keyframe follows RFC 7798.
func h265Keyframe(b []byte) bool {
	key := false
	h265NALUs(b, func(kind byte, _ []byte) bool {
		key = kind >= h265FirstIRAP && kind <= h265LastIRAP || kind == h265VPS || kind == h265SPS
		return !key
	})
	return key
}

func h265NALUs(b []byte, f func(kind byte, nalu []byte) bool) {
	if len(b) < 3 {
		return
	}
	switch kind := b[0] >> 1 & 0x3f; kind {
	case h265AP:
		aggregated(b[2:], 2, func(nalu []byte) bool { return f(nalu[0]>>1&0x3f, nalu) })
	case h265FU:
		if b[2]&0x80 != 0 {
			f(b[2]&0x3f, nil)
		}
	default:
		f(kind, b)
	}
}

// vp8Keyframe: the start of partition 0 with the inverse key frame flag clear
// (RFC 7741 section 4.3).
func vp8Keyframe(b []byte) bool {
	d, ok := ParseVP8(b)
	return ok && d.Start && len(b) > d.Size && b[d.Size]&1 == 0
}

// vp9Keyframe: the beginning of a frame that is not inter-predicted, of the
// lowest spatial layer (RFC 9628 section 4.2).
func vp9Keyframe(b []byte) bool {
	d, ok := ParseVP9(b)
	return ok && d.Start && !d.Inter && d.Spatial == 0
}

// av1Keyframe: the N bit of the aggregation header marks the first packet of a
// coded video sequence (AV1 RTP specification section 4.4).
func av1Keyframe(b []byte) bool {
	const newSequence = 1 << 3
	return len(b) > 1 && b[0]&newSequence != 0
}
