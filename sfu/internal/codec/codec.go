package codec

import "strings"

// Codec is a media format as SDP names it.
type Codec uint8

const (
	Unknown Codec = iota
	Opus
	H264
	VP8
	VP9
	AV1
	H265
)

// FromMimeType returns the codec of a MIME type such as "video/H264".
func FromMimeType(mime string) Codec {
	switch strings.ToLower(mime) {
	case "audio/opus":
		return Opus
	case "video/h264":
		return H264
	case "video/vp8":
		return VP8
	case "video/vp9":
		return VP9
	case "video/av1":
		return AV1
	case "video/h265":
		return H265
	}
	return Unknown
}

// String returns the encoding name as in an SDP rtpmap.
func (c Codec) String() string {
	switch c {
	case Opus:
		return "opus"
	case H264:
		return "H264"
	case VP8:
		return "VP8"
	case VP9:
		return "VP9"
	case AV1:
		return "AV1"
	case H265:
		return "H265"
	}
	return "unknown"
}

// Video reports whether the codec carries pictures.
func (c Codec) Video() bool { return c > Opus }

// ClockRate is the RTP clock in ticks per second.
func (c Codec) ClockRate() uint32 {
	if c == Opus {
		return 48000
	}
	return 90000
}
