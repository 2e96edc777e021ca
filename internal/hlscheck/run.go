package hlscheck

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// Config says what to watch.
type Config struct {
	URL      string // multivariant playlist
	Token    string // bearer, "" for none
	Duration time.Duration
	Client   *http.Client // nil: http.DefaultClient
}

// Violation is a rule that the server broke: the first detail, and how often.
type Violation struct {
	Rendition string
	Rule      string // section of the specification
	Detail    string
	Count     int
}

// Result is what a run saw.
type Result struct {
	Violations []Violation
	Playlists  int
	Deltas     int
	Parts      int
	Segments   int
	Hinted     int             // parts that came as an answer to a hint
	Delays     []time.Duration // of parts: from their existence, as the server says, to the last byte here
}

// String lists the violations, one a line.
func (r *Result) String() string {
	text := fmt.Sprintf("%d playlists (%d deltas), %d parts (%d hinted), %d segments", r.Playlists, r.Deltas, r.Parts, r.Hinted, r.Segments)
	for _, v := range r.Violations {
		text += fmt.Sprintf("\n%s: section %s, %d times: %s", v.Rendition, v.Rule, v.Count, v.Detail)
	}
	return text
}

// run collects what all renditions see.
type run struct {
	config Config
	client *http.Client

	mu      sync.Mutex
	result  Result
	targets map[string]Playlist // header of the last playlist of each rendition
}

// Run watches for the configured time, or until ctx ends.
func Run(ctx context.Context, config Config) (*Result, error) {
	r := &run{config: config, client: config.Client, targets: map[string]Playlist{}}
	if r.client == nil {
		r.client = http.DefaultClient
	}
	base, err := url.Parse(config.URL)
	if err != nil {
		return nil, fmt.Errorf("address: %w", err)
	}
	first, err := r.get(ctx, base)
	if err != nil {
		return nil, err
	}
	if first.status != http.StatusOK {
		return nil, fmt.Errorf("%s: status %d", config.URL, first.status)
	}
	m, err := ParseMultivariant(string(first.body))
	if err != nil {
		return nil, fmt.Errorf("multivariant playlist: %w", err)
	}
	r.multivariant(m, first)
	ctx, cancel := context.WithTimeout(ctx, config.Duration)
	defer cancel()
	var uris []string
	for _, v := range m.Variants {
		uris = append(uris, v.URI)
	}
	for _, a := range m.Audio {
		uris = append(uris, a.URI)
	}
	slices.Sort(uris)
	var following sync.WaitGroup
	for _, uri := range slices.Compact(uris) {
		at, err := base.Parse(uri)
		if err != nil {
			r.fail(uri, "4.4.6.2", "the address is malformed")
			continue
		}
		following.Go(func() {
			f := follower{run: r, name: uri, base: at}
			if err := f.follow(ctx); err != nil && ctx.Err() == nil {
				r.fail(uri, "6", "%v", err)
			}
		})
	}
	following.Wait()
	r.agree()
	return &r.result, nil
}

func (r *run) fail(rendition, rule, format string, args ...any) {
	detail := fmt.Sprintf(format, args...)
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.result.Violations {
		if v := &r.result.Violations[i]; v.Rendition == rendition && v.Rule == rule {
			v.Count++
			return
		}
	}
	r.result.Violations = append(r.result.Violations, Violation{rendition, rule, detail, 1})
}

func (r *run) multivariant(m *Multivariant, answer *response) {
	const name = "multivariant"
	if len(m.Variants) == 0 {
		r.fail(name, "4.4.6.2", "no variants")
	}
	if got := answer.header.Get("Content-Type"); got != "application/vnd.apple.mpegurl" {
		r.fail(name, "4", "content type %q", got)
	}
	for _, v := range m.Variants {
		if v.Bandwidth <= 0 || v.Codecs == "" || v.Average > v.Bandwidth {
			r.fail(name, "4.4.6.2", "variant %+v", v)
		}
		if v.Audio != "" && !slices.ContainsFunc(m.Audio, func(a Audio) bool { return a.Group == v.Audio }) {
			r.fail(name, "4.4.6.2.1", "there is no audio group %q", v.Audio)
		}
	}
}

// agree checks what all renditions must have in common (section 6.2.4).
func (r *run) agree() {
	r.mu.Lock()
	targets := r.targets
	r.mu.Unlock()
	var first *Playlist
	for name, p := range targets {
		if first == nil {
			first = &p
			continue
		}
		if p.Target != first.Target || p.Control != first.Control || p.PartTarget != first.PartTarget {
			r.fail(name, "6.2.4", "target durations or server control differ between renditions")
		}
	}
}

// response is an answer that was read to its end.
type response struct {
	status int
	header http.Header
	body   []byte
	asked  time.Time
	came   time.Time
}

// maxBody bounds what is read of one answer.
const maxBody = 256 << 20

func (r *run) get(ctx context.Context, at *url.URL) (*response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	if r.config.Token != "" {
		request.Header.Set("Authorization", "Bearer "+r.config.Token)
	}
	asked := time.Now()
	answer, err := r.client.Do(request)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxBody))
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		return nil, err
	}
	return &response{answer.StatusCode, answer.Header, body, asked, time.Now()}, nil
}
