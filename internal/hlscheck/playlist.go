package hlscheck

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Playlist is a parsed media playlist.
type Playlist struct {
	Version       int
	Target        time.Duration
	PartTarget    time.Duration // 0: no EXT-X-PART-INF
	Sequence      uint64
	Discontinuity uint64
	Skipped       int
	Control       Control
	Type          string
	Independent   bool // EXT-X-INDEPENDENT-SEGMENTS
	Ended         bool
	AfterEnd      bool      // lines follow EXT-X-ENDLIST
	Segments      []Segment // without the skipped ones
	Growing       Segment   // parts of the segment to come, and its tags
	Hints         []string  // addresses of hinted parts
	Reports       []Report
	TargetsRepeat bool // a tag that may be there once is there twice
	UnknownTags   []string
}

// Control is EXT-X-SERVER-CONTROL.
type Control struct {
	Blocks       bool
	PartHoldBack time.Duration
	HoldBack     time.Duration
	SkipUntil    time.Duration
}

// Segment is a media segment with the tags that apply to it.
type Segment struct {
	Sequence      uint64
	URI           string
	Duration      time.Duration
	Date          time.Time // zero: no EXT-X-PROGRAM-DATE-TIME of its own
	Map           string
	Discontinuity bool
	Gap           bool
	Parts         []Part
}

// Part is a partial segment.
type Part struct {
	URI         string
	Duration    time.Duration
	Independent bool
	Gap         bool
}

// Report is EXT-X-RENDITION-REPORT. Part is -1 where it names none.
type Report struct {
	URI  string
	Last uint64
	Part int
}

// Last is the position of the last part, or segment, that the playlist has; part
// is -1 for a whole segment. ok is false when it has nothing.
func (p *Playlist) Last() (msn uint64, part int, ok bool) {
	if n := len(p.Growing.Parts); n > 0 {
		return p.Growing.Sequence, n - 1, true
	}
	if n := len(p.Segments); n > 0 {
		return p.Segments[n-1].Sequence, -1, true
	}
	return 0, 0, false
}

// Next is the position to ask for next.
func (p *Playlist) Next() (msn uint64, part int) {
	return p.Growing.Sequence, len(p.Growing.Parts)
}

// maxLines bounds what is parsed of a playlist.
const maxLines = 1 << 20

// Parse reads a media playlist.
func Parse(text string) (*Playlist, error) {
	if !strings.HasPrefix(text, "#EXTM3U\n") {
		return nil, fmt.Errorf("a playlist begins with #EXTM3U")
	}
	p := &Playlist{}
	parser := parser{p: p}
	lines := 0
	for line := range strings.Lines(text[len("#EXTM3U\n"):]) {
		if lines++; lines > maxLines {
			return nil, fmt.Errorf("more than %d lines", maxLines)
		}
		line = strings.TrimRight(line, "\r\n")
		if p.Ended && line != "" {
			p.AfterEnd = true
		}
		if err := parser.line(line); err != nil {
			return nil, fmt.Errorf("line %d: %w", lines+1, err)
		}
	}
	p.Growing = parser.segment
	p.Growing.Sequence = parser.number()
	return p, nil
}

type parser struct {
	p       *Playlist
	segment Segment
	init    string
	timed   bool // EXTINF was read
}

func (r *parser) number() uint64 {
	return r.p.Sequence + uint64(r.p.Skipped) + uint64(len(r.p.Segments))
}

func (r *parser) line(line string) (err error) {
	switch {
	case line == "":
		return nil
	case line[0] != '#':
		if !r.timed {
			return fmt.Errorf("an address without EXTINF")
		}
		s := r.segment
		s.URI, s.Sequence, s.Map = line, r.number(), r.init
		r.p.Segments = append(r.p.Segments, s)
		r.segment, r.timed = Segment{}, false
		return nil
	}
	name, value, _ := strings.Cut(line, ":")
	switch name {
	case "#EXTINF":
		r.timed = true
		value, _, _ = strings.Cut(value, ",")
		r.segment.Duration, err = seconds(value)
	case "#EXT-X-DISCONTINUITY":
		r.segment.Discontinuity = true
	case "#EXT-X-GAP":
		r.segment.Gap = true
	case "#EXT-X-MAP":
		r.init = attributes(value)["URI"]
	case "#EXT-X-PROGRAM-DATE-TIME":
		r.segment.Date, err = time.Parse(time.RFC3339Nano, value)
	case "#EXT-X-PART":
		a := attributes(value)
		part := Part{URI: a["URI"], Independent: a["INDEPENDENT"] == "YES", Gap: a["GAP"] == "YES"}
		part.Duration, err = seconds(a["DURATION"])
		r.segment.Parts = append(r.segment.Parts, part)
	default:
		return r.header(name, value)
	}
	return err
}

func (r *parser) header(name, value string) (err error) {
	p := r.p
	switch name {
	case "#EXT-X-VERSION":
		p.Version, err = strconv.Atoi(value)
	case "#EXT-X-TARGETDURATION":
		p.TargetsRepeat = p.TargetsRepeat || p.Target != 0
		p.Target, err = seconds(value)
	case "#EXT-X-PART-INF":
		p.PartTarget, err = seconds(attributes(value)["PART-TARGET"])
	case "#EXT-X-MEDIA-SEQUENCE":
		p.Sequence, err = strconv.ParseUint(value, 10, 63)
	case "#EXT-X-DISCONTINUITY-SEQUENCE":
		p.Discontinuity, err = strconv.ParseUint(value, 10, 63)
	case "#EXT-X-SKIP":
		p.Skipped, err = strconv.Atoi(attributes(value)["SKIPPED-SEGMENTS"])
		if err == nil && (p.Skipped < 0 || p.Skipped > maxLines) {
			err = fmt.Errorf("SKIPPED-SEGMENTS is %d", p.Skipped)
		}
	case "#EXT-X-SERVER-CONTROL":
		return p.Control.read(attributes(value))
	case "#EXT-X-PLAYLIST-TYPE":
		p.Type = value
	case "#EXT-X-INDEPENDENT-SEGMENTS":
		p.Independent = true
	case "#EXT-X-ENDLIST":
		p.Ended = true
	case "#EXT-X-PRELOAD-HINT":
		if a := attributes(value); a["TYPE"] == "PART" {
			p.Hints = append(p.Hints, a["URI"])
		}
	case "#EXT-X-RENDITION-REPORT":
		return r.report(attributes(value))
	case "#EXT-X-START", "#EXT-X-I-FRAMES-ONLY", "#EXT-X-BYTERANGE":
	default:
		if strings.HasPrefix(name, "#EXT") {
			p.UnknownTags = append(p.UnknownTags, name)
		}
	}
	return err
}

func (r *parser) report(a map[string]string) (err error) {
	report := Report{URI: a["URI"], Part: -1}
	if report.Last, err = strconv.ParseUint(a["LAST-MSN"], 10, 63); err != nil {
		return err
	}
	if text, ok := a["LAST-PART"]; ok {
		if report.Part, err = strconv.Atoi(text); err != nil {
			return err
		}
	}
	r.p.Reports = append(r.p.Reports, report)
	return nil
}

func (c *Control) read(a map[string]string) (err error) {
	c.Blocks = a["CAN-BLOCK-RELOAD"] == "YES"
	for name, d := range map[string]*time.Duration{"PART-HOLD-BACK": &c.PartHoldBack, "HOLD-BACK": &c.HoldBack, "CAN-SKIP-UNTIL": &c.SkipUntil} {
		if text, ok := a[name]; ok {
			if *d, err = seconds(text); err != nil {
				return err
			}
		}
	}
	return nil
}

func seconds(text string) (time.Duration, error) {
	s, err := strconv.ParseFloat(text, 64)
	if err != nil || s < 0 || s > 1e6 || s != s {
		return 0, fmt.Errorf("%q is no duration", text)
	}
	return time.Duration(s*1e9 + 0.5), nil
}

// attributes reads an attribute list (section 4.2). Quotes are taken off.
func attributes(text string) map[string]string {
	list := map[string]string{}
	for text != "" {
		name, rest, ok := strings.Cut(text, "=")
		if !ok {
			break
		}
		var value string
		if strings.HasPrefix(rest, `"`) {
			value, rest, _ = strings.Cut(rest[1:], `"`)
			rest = strings.TrimPrefix(rest, ",")
		} else {
			value, rest, _ = strings.Cut(rest, ",")
		}
		list[strings.TrimSpace(name)] = value
		text = rest
	}
	return list
}

// Multivariant is a parsed multivariant playlist.
type Multivariant struct {
	Variants []Variant
	Audio    []Audio
	Data     map[string]string // EXT-X-SESSION-DATA by id
}

// Variant is EXT-X-STREAM-INF.
type Variant struct {
	URI, Codecs, Resolution, FrameRate, Audio string
	Bandwidth, Average                        int
}

// Audio is EXT-X-MEDIA of TYPE=AUDIO.
type Audio struct {
	URI, Group, Channels string
	Default              bool
}

// ParseMultivariant reads a multivariant playlist.
func ParseMultivariant(text string) (*Multivariant, error) {
	if !strings.HasPrefix(text, "#EXTM3U\n") {
		return nil, fmt.Errorf("a playlist begins with #EXTM3U")
	}
	m := &Multivariant{Data: map[string]string{}}
	var next *Variant
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		name, value, _ := strings.Cut(line, ":")
		switch {
		case name == "#EXT-X-MEDIA":
			if a := attributes(value); a["TYPE"] == "AUDIO" {
				m.Audio = append(m.Audio, Audio{a["URI"], a["GROUP-ID"], a["CHANNELS"], a["DEFAULT"] == "YES"})
			}
		case name == "#EXT-X-SESSION-DATA":
			a := attributes(value)
			m.Data[a["DATA-ID"]] = a["VALUE"]
		case name == "#EXT-X-STREAM-INF":
			a := attributes(value)
			next = &Variant{Codecs: a["CODECS"], Resolution: a["RESOLUTION"], FrameRate: a["FRAME-RATE"], Audio: a["AUDIO"]}
			var err error
			if next.Bandwidth, err = strconv.Atoi(a["BANDWIDTH"]); err != nil {
				return nil, fmt.Errorf("BANDWIDTH: %w", err)
			}
			next.Average, _ = strconv.Atoi(a["AVERAGE-BANDWIDTH"]) // optional: 0 where there is none
		case line != "" && line[0] != '#' && next != nil:
			next.URI = line
			m.Variants = append(m.Variants, *next)
			next = nil
		}
	}
	return m, nil
}
