package hlsfallback

import (
	"fmt"
	"strconv"
	"time"

	"github.com/sluice-live/sluice"
)

// iframes returns the I-frame playlist of a video rendition: the keyframe that
// begins each segment, as a piece of it (RFC 8216bis section 4.4.3.6).
func (t *track) iframes() *body {
	target := t.show.target()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.keys != nil {
		return t.keys
	}
	b := []byte("#EXTM3U\n#EXT-X-VERSION:8\n#EXT-X-TARGETDURATION:")
	b = strconv.AppendInt(b, int64(target/time.Second), 10)
	b = append(b, "\n#EXT-X-I-FRAMES-ONLY\n"...)
	b = t.appendCounts(b)
	init := -1
	for _, e := range t.entries {
		b = appendTags(b, e.seg, e.seg.Init != init)
		init = e.seg.Init
		if e.seg.Key.Length == 0 {
			e.seg.Gap = true
			b = appendSegment(b, e.seg)
			continue
		}
		b = append(b, "#EXTINF:"...)
		b = appendSeconds(b, e.seg.Duration)
		b = fmt.Appendf(b, ",\n#EXT-X-BYTERANGE:%d@%d\n%s\n", e.seg.Key.Length, e.seg.Key.Offset, appendName(nil, e.seg))
	}
	if t.over {
		b = append(b, "#EXT-X-ENDLIST\n"...)
	}
	t.keys = newBody(b)
	return t.keys
}

// thumbnails returns the WebVTT track that names a thumbnail for each moment of
// the window. Times count from the start of the recording.
func (s *show) thumbnails() []byte {
	from, to := s.span()
	b := []byte("WEBVTT\n\nNOTE X-RECORDING-START=")
	b = s.rec.Started.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, '\n')
	const every = sluice.ThumbnailEvery
	for n := max(from, 0) / every; n*every < to; n++ {
		b = append(b, '\n')
		b = appendCue(b, n*every)
		b = append(b, " --> "...)
		b = appendCue(b, (n+1)*every)
		b = fmt.Appendf(b, "\nthumb%d.jpg\n", int64(n))
	}
	return b
}

// span is what of the show is listed, counted from its start.
func (s *show) span() (from, to time.Duration) {
	some := false
	for _, t := range s.list() {
		t.mu.Lock()
		if n := len(t.entries); n > 0 && t.info.Kind == sluice.RenditionVideo {
			first, last := t.entries[0].seg, t.entries[n-1].seg
			start, end := first.Start.Sub(s.rec.Started), last.Start.Add(last.Duration).Sub(s.rec.Started)
			if !some || start < from {
				from = start
			}
			to, some = max(to, end), true
		}
		t.mu.Unlock()
	}
	return from, to
}

// appendCue writes a WebVTT timestamp.
func appendCue(b []byte, d time.Duration) []byte {
	ms := d.Milliseconds()
	return fmt.Appendf(b, "%02d:%02d:%02d.%03d", ms/3_600_000, ms/60_000%60, ms/1000%60, ms%1000)
}
