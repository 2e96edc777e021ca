package hlsfallback

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-live/sluice"
)

// variants is what a multivariant playlist is made of.
type variants struct {
	video, audio []sluice.Rendition
}

func (s *show) variants() (v variants) {
	for _, t := range s.list() {
		r := t.rendition()
		if !t.measured(&r) {
			continue
		}
		if r.Kind == sluice.RenditionAudio {
			v.audio = append(v.audio, r)
		} else {
			v.video = append(v.video, r)
		}
	}
	slices.SortStableFunc(v.video, func(a, b sluice.Rendition) int { return b.Peak - a.Peak })
	return v
}

// measured fills in bit rates that the recorder has not measured yet, and
// reports whether the rendition has media.
func (t *track) measured(r *sluice.Rendition) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	peak, size, duration := 0, int64(0), time.Duration(0)
	for _, n := range t.near {
		if n.seg.Duration > 0 && !n.seg.Gap {
			peak = max(peak, int(float64(n.seg.Size)*8/n.seg.Duration.Seconds()))
			size += n.seg.Size
			duration += n.seg.Duration
		}
	}
	if g := t.growing; g != nil && duration == 0 {
		for _, p := range g.parts {
			if p.payload != nil {
				size += int64(len(p.payload.data))
				duration += p.duration
			}
		}
	}
	average := peak
	if duration > 0 {
		average = int(float64(size) * 8 / duration.Seconds())
	}
	r.Peak = max(r.Peak, peak, average, 1)
	if r.Average == 0 {
		r.Average = average
	}
	return len(t.entries) > 0 || t.growing != nil
}

// multivariant writes the multivariant playlist (RFC 8216bis section 4.4.6).
// prefix goes before each address: the recording and, for a player that can set
// no header, its token.
func (s *show) multivariant(prefix string) []byte {
	v := s.variants()
	codecs := audioCodecs(v.audio)
	b := s.appendVersion(nil, "9")
	b = appendSessionData(b, "live.sluice.recording", s.rec.ID)
	if len(v.video) > 0 {
		b = appendSessionData(b, "live.sluice.thumbnails", prefix+"thumbs.vtt")
	}
	for _, r := range v.audio {
		if len(v.video) > 0 {
			b = appendAudio(b, r, prefix)
		}
	}
	if len(v.video) == 0 {
		for _, r := range v.audio {
			b = appendVariant(b, "#EXT-X-STREAM-INF:", r, sluice.Rendition{}, "")
			b = append(b, prefix+r.ID+"/index.m3u8\n"...)
		}
		return b
	}
	for _, codec := range codecs {
		group, loudest := groupOf(v.audio, codec)
		for _, r := range v.video {
			b = appendVariant(b, "#EXT-X-STREAM-INF:", r, loudest, group)
			b = append(b, prefix+r.ID+"/index.m3u8\n"...)
		}
	}
	for _, r := range v.video {
		b = appendVariant(b, "#EXT-X-I-FRAME-STREAM-INF:", r, sluice.Rendition{}, "")
		b = append(b[:len(b)-1], `,URI="`+prefix+r.ID+"/iframes.m3u8\"\n"...)
	}
	return b
}

// audioCodecs lists the codecs of the audio in order, one "" when there is none.
// Every video is offered with each of them.
func audioCodecs(audio []sluice.Rendition) (codecs []string) {
	for _, r := range audio {
		if !slices.Contains(codecs, r.Codecs) {
			codecs = append(codecs, r.Codecs)
		}
	}
	if len(codecs) == 0 {
		codecs = []string{""}
	}
	return codecs
}

// groupName is the GROUP-ID of a codec's audio: "opus", "mp4a".
func groupName(codec string) string {
	name, _, _ := strings.Cut(codec, ".")
	return strings.ToLower(name)
}

// groupOf returns the group of a codec and its largest rendition.
func groupOf(audio []sluice.Rendition, codec string) (group string, largest sluice.Rendition) {
	for _, r := range audio {
		if r.Codecs == codec && r.Peak >= largest.Peak {
			largest = r
		}
	}
	if codec != "" {
		group = groupName(codec)
	}
	return group, largest
}

func appendSessionData(b []byte, id, value string) []byte {
	b = append(b, `#EXT-X-SESSION-DATA:DATA-ID="`...)
	b = append(b, id...)
	b = append(b, `",VALUE="`...)
	b = append(b, value...)
	return append(b, "\"\n"...)
}

func appendAudio(b []byte, r sluice.Rendition, prefix string) []byte {
	b = append(b, `#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="`...)
	b = append(b, groupName(r.Codecs)...)
	b = append(b, `",NAME="`...)
	b = append(b, r.ID...)
	b = append(b, `",AUTOSELECT=YES`...)
	if r.Default {
		b = append(b, ",DEFAULT=YES"...)
	}
	if r.Channels > 0 {
		b = append(b, `,CHANNELS="`...)
		b = strconv.AppendInt(b, int64(r.Channels), 10)
		b = append(b, '"')
	}
	b = append(b, `,URI="`...)
	b = append(b, prefix...)
	b = append(b, r.ID...)
	return append(b, "/index.m3u8\"\n"...)
}

// appendVariant writes a tag with the attributes of a rendition and the audio
// that plays with it.
func appendVariant(b []byte, tag string, r, audio sluice.Rendition, group string) []byte {
	b = append(b, tag...)
	b = append(b, "BANDWIDTH="...)
	b = strconv.AppendInt(b, int64(r.Peak+audio.Peak), 10)
	if average := r.Average + audio.Average; average > 0 {
		b = append(b, ",AVERAGE-BANDWIDTH="...)
		b = strconv.AppendInt(b, int64(average), 10)
	}
	b = append(b, `,CODECS="`...)
	b = append(b, r.Codecs...)
	if audio.Codecs != "" {
		b = append(b, ',')
		b = append(b, audio.Codecs...)
	}
	b = append(b, '"')
	if r.Width > 0 && r.Height > 0 {
		b = append(b, ",RESOLUTION="...)
		b = strconv.AppendInt(b, int64(r.Width), 10)
		b = append(b, 'x')
		b = strconv.AppendInt(b, int64(r.Height), 10)
	}
	if r.FrameRate > 0 && strings.HasPrefix(tag, "#EXT-X-STREAM") {
		b = append(b, ",FRAME-RATE="...)
		b = strconv.AppendFloat(b, r.FrameRate, 'f', 3, 64)
	}
	if group != "" {
		b = append(b, `,AUDIO="`...)
		b = append(b, group...)
		b = append(b, '"')
	}
	return append(b, '\n')
}
