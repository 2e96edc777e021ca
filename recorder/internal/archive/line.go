package archive

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"strconv"

	"github.com/sluice-live/sluice"
)

// entry is one line of an index: a segment, or how many were taken away from the
// front.
type entry struct {
	Segment *sluice.Segment `json:"segment,omitempty"`
	CRC     uint32          `json:"crc,omitempty"` // of the segment's bytes (Castagnoli)
	Removed uint64          `json:"removed,omitempty"`
}

// lineHead is the checksum of the rest of the line in hexadecimal, and a space.
const lineHead = 9

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// formatLine returns an entry, or a mark, as a line.
func formatLine[T any](e T) ([]byte, error) {
	body, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("index line: %w", err)
	}
	return fmt.Appendf(nil, "%08x %s\n", crc32.Checksum(body, castagnoli()), body), nil
}

// parseLine reads a line without its end.
func parseLine(line []byte) (e entry, ok bool) {
	if e, ok = decodeLine[entry](line); !ok {
		return entry{}, false
	}
	return e, (e.Segment != nil) != (e.Removed > 0)
}

func decodeLine[T any](line []byte) (e T, ok bool) {
	if len(line) < lineHead || line[lineHead-1] != ' ' {
		return e, false
	}
	sum, err := strconv.ParseUint(string(line[:lineHead-1]), 16, 32)
	if err != nil || uint32(sum) != crc32.Checksum(line[lineHead:], castagnoli()) {
		return e, false
	}
	return e, json.Unmarshal(line[lineHead:], &e) == nil
}

// parseIndex reads the lines of an index up to the first that is torn, damaged
// or out of sequence, and returns how many bytes are good. Numbers rise by one.
func parseIndex(b []byte) (segments []sluice.Segment, good int64) {
	entries, good := parseEntries(b)
	for _, e := range entries {
		segments = append(segments, *e.Segment)
	}
	return segments, good
}

// parseEntries is parseIndex with the checksums of the segments.
func parseEntries(b []byte) (entries []entry, good int64) {
	for {
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			return entries, good
		}
		e, ok := parseLine(b[:end])
		if !ok {
			return entries, good
		}
		if e.Segment != nil {
			if n := len(entries); n > 0 && e.Segment.Sequence != entries[n-1].Segment.Sequence+1 {
				return entries, good
			}
			entries = append(entries, e)
		} else {
			for len(entries) > 1 && entries[0].Segment.Sequence < e.Removed {
				entries = entries[1:]
			}
		}
		good += int64(end) + 1
		b = b[end+1:]
	}
}
