package hlscheck

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// follower plays one rendition as a strict LL-HLS client.
type follower struct {
	*run
	name    string
	base    *url.URL
	history *History
	last    *Playlist
	bytes   map[string][]byte // of parts, by address
	done    uint64            // segments before this one have been compared
	hint    *hinted
	media   mediaCheck
	playing bool // the first playlist has been read; new parts are ours to fetch
}

// hinted is a request for the part to come.
type hinted struct {
	uri    string
	answer chan *response
}

func (f *follower) follow(ctx context.Context) error {
	f.bytes = map[string][]byte{}
	f.history = NewHistory(func(rule, detail string) { f.fail(f.name, rule, "%s", detail) })
	f.media = mediaCheck{fail: func(rule, format string, args ...any) { f.fail(f.name, rule, format, args...) }}
	defer func() {
		if f.hint != nil {
			<-f.hint.answer
		}
	}()
	query := ""
	for n := 0; ctx.Err() == nil; n++ {
		p, err := f.playlist(ctx, query)
		if err != nil {
			return err
		}
		if err := f.take(ctx, p); err != nil {
			return err
		}
		if p.Ended {
			return nil
		}
		if n == 3 || n%50 == 49 {
			if err := f.probe(ctx, p); err != nil {
				return err
			}
		}
		query = f.next(p, n)
	}
	return nil
}

// next is the query for what the playlist does not have yet. Now and then the
// whole playlist is asked for, which must go with the deltas.
func (f *follower) next(p *Playlist, n int) string {
	msn, part := p.Next()
	query := fmt.Sprintf("_HLS_msn=%d&_HLS_part=%d", msn, part)
	if p.Control.SkipUntil > 0 && n%20 != 19 {
		query += "&_HLS_skip=YES"
	}
	return query
}

func (f *follower) playlist(ctx context.Context, query string) (*Playlist, error) {
	at := *f.base
	at.RawQuery = query
	answer, err := f.get(ctx, &at)
	if err != nil {
		return nil, err
	}
	if answer.status != http.StatusOK {
		return nil, fmt.Errorf("playlist %q: status %d", query, answer.status)
	}
	p, err := Parse(string(answer.body))
	if err != nil {
		return nil, fmt.Errorf("playlist %q: %w", query, err)
	}
	f.mu.Lock()
	f.result.Playlists++
	if p.Skipped > 0 {
		f.result.Deltas++
	}
	f.targets[f.name] = *p
	f.mu.Unlock()
	if got := answer.header.Get("Content-Type"); got != "application/vnd.apple.mpegurl" {
		f.fail(f.name, "4", "content type %q", got)
	}
	if text := answer.header.Get("Cache-Control"); text == "" {
		f.fail(f.name, "6.2.1", "a playlist without Cache-Control")
	}
	f.blocked(p, query)
	f.history.Take(p, answer.came)
	return p, nil
}

// blocked checks that a playlist has what was asked for (section 6.2.5.2).
func (f *follower) blocked(p *Playlist, query string) {
	values, err := url.ParseQuery(query)
	if err != nil || p.Ended || values.Get("_HLS_msn") == "" {
		return
	}
	msn, _ := strconv.ParseUint(values.Get("_HLS_msn"), 10, 63)
	part, err := strconv.Atoi(values.Get("_HLS_part"))
	if err != nil {
		part = -1
	}
	last, lastPart, ok := p.Last()
	if !ok || last < msn || last == msn && lastPart >= 0 && lastPart < part {
		f.fail(f.name, "6.2.5.2", "asked for %d.%d, the playlist ends with %d.%d", msn, part, last, lastPart)
	}
}

// take fetches what is new and checks it.
func (f *follower) take(ctx context.Context, p *Playlist) error {
	list := append(p.Segments[:len(p.Segments):len(p.Segments)], p.Growing)
	if !f.playing { // begin with the growing segment
		f.playing, f.done = true, p.Growing.Sequence
		for _, s := range list {
			for _, part := range s.Parts {
				f.bytes[part.URI] = nil // before our time
			}
		}
		if len(p.Growing.Parts) > 0 {
			f.done++
		}
	}
	first := true
	for _, s := range list {
		for i, part := range s.Parts {
			if _, known := f.bytes[part.URI]; known {
				continue
			}
			if i == 0 && s.Discontinuity {
				f.media.gap() // its time does not continue
			}
			data, err := f.part(ctx, part, first)
			if err != nil {
				return err
			}
			f.bytes[part.URI], first = data, false
		}
	}
	if err := f.segments(ctx, p); err != nil {
		return err
	}
	f.last = p
	f.ask(ctx, p)
	return nil
}

// ask requests the hinted part.
func (f *follower) ask(ctx context.Context, p *Playlist) {
	if f.hint != nil || len(p.Hints) == 0 || p.Ended {
		return
	}
	at, err := f.base.Parse(p.Hints[0])
	if err != nil {
		f.fail(f.name, "4.4.5.3", "the hint %q is malformed", p.Hints[0])
		return
	}
	h := &hinted{uri: p.Hints[0], answer: make(chan *response, 1)}
	f.hint = h
	go func() {
		answer, err := f.get(ctx, at)
		if err != nil {
			answer = nil
		}
		h.answer <- answer
	}()
}

// part returns the bytes of a part, which the hint may have brought.
func (f *follower) part(ctx context.Context, part Part, first bool) ([]byte, error) {
	var answer *response
	if h := f.hint; h != nil && first {
		f.hint = nil
		answer = <-h.answer
		if h.uri != part.URI {
			f.fail(f.name, "4.4.5.3", "%s was hinted, then came %s", h.uri, part.URI)
			answer = nil
		} else {
			f.mu.Lock()
			f.result.Hinted++
			f.mu.Unlock()
		}
	}
	if answer == nil {
		at, err := f.base.Parse(part.URI)
		if err != nil {
			return nil, err
		}
		if answer, err = f.get(ctx, at); err != nil {
			return nil, err
		}
	}
	f.mu.Lock()
	f.result.Parts++
	if since, err := strconv.ParseInt(answer.header.Get("Sluice-Since"), 10, 64); err == nil {
		f.result.Delays = append(f.result.Delays, answer.came.Sub(time.UnixMicro(since)))
	}
	f.mu.Unlock()
	if part.Gap {
		if answer.status != http.StatusNotFound {
			f.fail(f.name, "4.4.4.9", "part %s is a gap and has status %d", part.URI, answer.status)
		}
		f.media.gap()
		return []byte{}, nil
	}
	if answer.status != http.StatusOK {
		f.fail(f.name, "6.2.2", "part %s: status %d", part.URI, answer.status)
		return []byte{}, nil
	}
	f.immutable(part.URI, answer)
	f.media.part(part, answer.body)
	return answer.body, nil
}

func (f *follower) immutable(uri string, answer *response) {
	if !strings.Contains(answer.header.Get("Cache-Control"), "immutable") {
		f.fail(f.name, "6.2.1", "%s may be kept for ever, and Cache-Control is %q", uri, answer.header.Get("Cache-Control"))
	}
	switch answer.header.Get("Content-Type") {
	case "video/mp4", "audio/mp4", "video/iso.segment":
	default:
		f.fail(f.name, "3.1.2", "%s is of type %q", uri, answer.header.Get("Content-Type"))
	}
}

// segments compares each new segment with its parts.
func (f *follower) segments(ctx context.Context, p *Playlist) error {
	for _, s := range p.Segments {
		if s.Sequence < f.done {
			continue
		}
		f.done = s.Sequence + 1
		at, err := f.base.Parse(s.URI)
		if err != nil {
			return err
		}
		answer, err := f.get(ctx, at)
		if err != nil {
			return err
		}
		if s.Gap {
			continue
		}
		if answer.status != http.StatusOK {
			f.fail(f.name, "6.2.2", "segment %d: status %d", s.Sequence, answer.status)
			continue
		}
		f.mu.Lock()
		f.result.Segments++
		f.mu.Unlock()
		f.immutable(s.URI, answer)
		var joined []byte
		for _, part := range s.Parts {
			joined = append(joined, f.bytes[part.URI]...)
		}
		if len(s.Parts) > 0 && !bytes.Equal(joined, answer.body) {
			f.fail(f.name, "4.4.4.9", "segment %d has %d bytes, its parts have %d, or others", s.Sequence, len(answer.body), len(joined))
		}
		for _, part := range s.Parts {
			f.bytes[part.URI] = nil
		}
	}
	return nil
}

// probe asks for what must be refused, and for what must be answered at once.
func (f *follower) probe(ctx context.Context, p *Playlist) error {
	msn, _ := p.Next()
	for query, want := range map[string]int{
		"_HLS_part=0":                               http.StatusBadRequest,
		fmt.Sprintf("_HLS_msn=%d", msn+10):          http.StatusBadRequest,
		fmt.Sprintf("_HLS_msn=%d", p.Sequence):      http.StatusOK,
		"_HLS_msn=0&_HLS_unknown=1":                 http.StatusOK,
		fmt.Sprintf("_HLS_msn=%d&_HLS_part=x", msn): http.StatusBadRequest,
	} {
		at := *f.base
		at.RawQuery = query
		answer, err := f.get(ctx, &at)
		if err != nil {
			return err
		}
		if answer.status != want {
			f.fail(f.name, "6.2.5.2", "%s: status %d, want %d", query, answer.status, want)
		}
	}
	answer, err := f.get(ctx, f.base)
	if err != nil {
		return err
	}
	whole, err := Parse(string(answer.body))
	if err != nil {
		return err
	}
	for _, report := range p.Reports {
		if err := f.reported(ctx, whole, report); err != nil {
			return err
		}
	}
	return nil
}

// reported checks that another rendition is as far as a report says, and goes with
// this one.
func (f *follower) reported(ctx context.Context, whole *Playlist, report Report) error {
	at, err := f.base.Parse(report.URI)
	if err != nil {
		f.fail(f.name, "4.4.5.4", "the address %q is malformed", report.URI)
		return nil
	}
	answer, err := f.get(ctx, at)
	if err != nil {
		return err
	}
	other, err := Parse(string(answer.body))
	if err != nil || answer.status != http.StatusOK {
		f.fail(f.name, "4.4.5.4", "%s: status %d, %v", report.URI, answer.status, err)
		return nil
	}
	last, part, ok := other.Last()
	if !ok || last < report.Last || last == report.Last && part >= 0 && part < report.Part {
		f.fail(f.name, "4.4.5.4", "the report says %d.%d, the rendition has %d.%d", report.Last, report.Part, last, part)
	}
	if detail := differ(whole, other); detail != "" {
		f.fail(f.name, "6.2.4", "%s: %s", report.URI, detail)
	}
	if detail := apart(whole, other); detail != "" {
		f.fail(f.name, "6.2.4", "%s: %s", report.URI, detail)
	}
	return nil
}
