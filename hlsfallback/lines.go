package hlsfallback

import (
	"strconv"
	"time"

	"github.com/sluice-live/sluice"
)

// appendTags writes what stands before a segment and its parts.
func appendTags(b []byte, seg sluice.Segment, mapped bool) []byte {
	if seg.Discontinuity {
		b = append(b, "#EXT-X-DISCONTINUITY\n"...)
	}
	if mapped {
		b = appendMap(b, seg.Init)
	}
	if seg.Start.IsZero() {
		return b
	}
	b = append(b, "#EXT-X-PROGRAM-DATE-TIME:"...)
	b = seg.Start.UTC().AppendFormat(b, "2006-01-02T15:04:05.000Z")
	return append(b, '\n')
}

// appendSegment writes a segment after its tags and parts.
func appendSegment(b []byte, seg sluice.Segment) []byte {
	if seg.Gap {
		b = append(b, "#EXT-X-GAP\n"...)
	}
	b = append(b, "#EXTINF:"...)
	b = appendSeconds(b, seg.Duration)
	b = append(b, ",\n"...)
	return append(appendName(b, seg), '\n')
}

// appendName writes the name of a segment. One that a crash has cut short has a name
// of its own: caches may hold more of it under the usual one.
func appendName(b []byte, seg sluice.Segment) []byte {
	b = strconv.AppendUint(b, seg.Sequence, 10)
	if seg.Repaired {
		b = append(b, repaired...)
	}
	return append(b, ".m4s"...)
}

// repaired stands between number and extension of a segment that was cut short.
const repaired = "r"

func appendMap(b []byte, version int) []byte {
	b = append(b, `#EXT-X-MAP:URI="init`...)
	b = strconv.AppendInt(b, int64(version), 10)
	return append(b, ".mp4\"\n"...)
}

func appendPart(b []byte, name string, p sluice.Part) []byte {
	b = append(b, "#EXT-X-PART:DURATION="...)
	b = appendSeconds(b, p.Duration)
	b = append(b, `,URI="`...)
	b = append(b, name...)
	b = append(b, `.m4s"`...)
	if p.Independent {
		b = append(b, ",INDEPENDENT=YES"...)
	}
	if p.Gap {
		b = append(b, ",GAP=YES"...)
	}
	return append(b, '\n')
}

// appendSeconds writes a duration as seconds with five decimals.
func appendSeconds(b []byte, d time.Duration) []byte {
	units := (d + 5*time.Microsecond) / (10 * time.Microsecond)
	b = strconv.AppendInt(b, int64(units/100_000), 10)
	b = append(b, '.')
	rest := strconv.AppendInt(make([]byte, 0, 8), int64(100_000+units%100_000), 10)
	return append(b, rest[1:]...)
}
