package load

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/sluice-live/sluice/internal/hlscheck"
)

// view is one viewer: it plays the first variant and its audio, each by a
// request for the hinted part and one for the playlist that lists it, as a delta;
// both are held until the part exists.
func (r *hlsRun) view(ctx context.Context) {
	client, idle := r.client()
	defer idle()
	v := &hlsViewer{run: r, client: client, buffer: &sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }}}
	if err := v.play(ctx); err != nil && ctx.Err() == nil {
		r.failure(err)
	}
}

type hlsViewer struct {
	run    *hlsRun
	client *http.Client
	buffer *sync.Pool // of *[]byte
}

// errEnded says that the stream has ended.
var errEnded = errors.New("the stream has ended")

func (v *hlsViewer) play(ctx context.Context) error {
	base, err := url.Parse(v.run.cfg.URL)
	if err != nil {
		return err
	}
	text, err := v.text(ctx, base)
	if err != nil {
		return err
	}
	m, err := hlscheck.ParseMultivariant(text)
	if err != nil {
		return err
	}
	if len(m.Variants) == 0 {
		return errors.New("the playlist has no variants")
	}
	uris := []string{m.Variants[0].URI}
	for _, a := range m.Audio {
		if a.Group == m.Variants[0].Audio && len(uris) < 2 && !v.run.cfg.Segments {
			uris = append(uris, a.URI)
		}
	}
	v.run.playing.Add(1)
	defer v.run.playing.Add(-1)
	errs := make([]error, len(uris))
	var renditions sync.WaitGroup
	for i, uri := range uris {
		at, err := base.Parse(uri)
		if err != nil {
			return err
		}
		renditions.Go(func() { errs[i] = v.rendition(ctx, at) })
	}
	renditions.Wait()
	err = errors.Join(errs...)
	if errors.Is(err, errEnded) {
		v.run.mu.Lock()
		v.run.ended++
		v.run.mu.Unlock()
		return nil
	}
	return err
}

func (v *hlsViewer) rendition(ctx context.Context, at *url.URL) error {
	text, err := v.text(ctx, at)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		p, err := hlscheck.Parse(text)
		switch {
		case err != nil:
			return err
		case p.Ended:
			return errEnded
		}
		next := *at
		if p.Control.SkipUntil > 0 {
			next.RawQuery = "_HLS_skip=YES"
		}
		switch {
		case v.run.cfg.Flood:
			err = v.flood(ctx, &next)
		case v.run.cfg.Segments:
			err = v.segments(ctx, at, p)
		default:
			text, err = v.step(ctx, at, p, &next)
			if err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		if text, err = v.text(ctx, &next); err != nil {
			return err
		}
	}
	return nil
}

// step asks for the hinted part and for the playlist that lists it, both at once
// as players do, and returns the playlist when it has both.
func (v *hlsViewer) step(ctx context.Context, at *url.URL, p *hlscheck.Playlist, next *url.URL) (string, error) {
	msn, part := p.Next()
	query := "_HLS_msn=" + strconv.FormatUint(msn, 10) + "&_HLS_part=" + strconv.Itoa(part)
	if next.RawQuery != "" {
		query += "&" + next.RawQuery
	}
	next.RawQuery = query
	hinted := make(chan error, 1)
	if len(p.Hints) > 0 {
		hint, err := at.Parse(p.Hints[0])
		if err != nil {
			return "", err
		}
		go func() { hinted <- v.part(ctx, hint) }()
	} else {
		hinted <- nil
	}
	text, err := v.text(ctx, next)
	if partErr := <-hinted; partErr != nil {
		return "", partErr
	}
	return text, err
}

// segmentTurn is how long a viewer asks for the same segment over and over.
const segmentTurn = time.Second

// segments asks for the newest segment over and over.
func (v *hlsViewer) segments(ctx context.Context, at *url.URL, p *hlscheck.Playlist) error {
	if len(p.Segments) == 0 {
		return nil
	}
	newest, err := at.Parse(p.Segments[len(p.Segments)-1].URI)
	if err != nil {
		return err
	}
	for begun := time.Now(); ctx.Err() == nil && time.Since(begun) < segmentTurn; {
		answer, err := v.do(ctx, newest)
		if err != nil {
			return err
		}
		if err := v.drain(answer); err != nil {
			return err
		}
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("a segment has status %d", answer.StatusCode)
		}
	}
	return nil
}

// flood asks for the playlist over and over without reading what it says.
func (v *hlsViewer) flood(ctx context.Context, at *url.URL) error {
	for ctx.Err() == nil {
		answer, err := v.do(ctx, at)
		if err != nil {
			return err
		}
		if err := v.drain(answer); err != nil {
			return err
		}
		if v.run.measuring.Load() {
			v.run.requests.Add(1)
		}
	}
	return ctx.Err()
}

func (v *hlsViewer) do(ctx context.Context, at *url.URL) (*http.Response, error) {
	request := (&http.Request{Method: http.MethodGet, URL: at, Host: at.Host, Header: http.Header{}}).WithContext(ctx)
	request.Header["Accept-Encoding"] = []string{"gzip"}
	if v.run.cfg.Token != "" {
		request.Header["Authorization"] = []string{"Bearer " + v.run.cfg.Token}
	}
	return v.client.Do(request)
}

// text reads a playlist.
func (v *hlsViewer) text(ctx context.Context, at *url.URL) (string, error) {
	answer, err := v.do(ctx, at)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxPlaylist))
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		return "", err
	}
	sent := len(body)
	if answer.Header.Get("Content-Encoding") == "gzip" {
		if body, err = unpack(body); err != nil {
			return "", err
		}
	}
	if answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("a playlist has status %d", answer.StatusCode)
	}
	if v.run.measuring.Load() {
		v.run.requests.Add(1)
		v.run.bytes.Add(uint64(sent))
	}
	return string(body), nil
}

// maxPlaylist bounds a playlist, in bytes.
const maxPlaylist = 64 << 20

func unpack(body []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(r, maxPlaylist))
}

// part waits for the hinted part. One that does not come is no failure.
func (v *hlsViewer) part(ctx context.Context, at *url.URL) error {
	answer, err := v.do(ctx, at)
	if err != nil {
		return err
	}
	if err := v.drain(answer); err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		if answer.StatusCode == http.StatusNotFound || answer.StatusCode == http.StatusServiceUnavailable {
			return nil
		}
		return fmt.Errorf("a part has status %d", answer.StatusCode)
	}
	if !v.run.measuring.Load() {
		return nil
	}
	v.run.parts.Add(1)
	since, err := strconv.ParseInt(answer.Header.Get("Sluice-Since"), 10, 64)
	if err != nil {
		return nil // a server that does not say since when the part exists
	}
	delay := time.Since(time.UnixMicro(since))
	v.run.mu.Lock()
	defer v.run.mu.Unlock()
	v.run.delays.add(delay)
	return nil
}

// drain counts a body and forgets it.
func (v *hlsViewer) drain(answer *http.Response) error {
	buffer := v.buffer.Get().(*[]byte)
	defer v.buffer.Put(buffer)
	sum := 0
	for {
		n, err := answer.Body.Read(*buffer)
		sum += n
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return errors.Join(err, answer.Body.Close())
		}
	}
	if v.run.measuring.Load() {
		v.run.bytes.Add(uint64(sum))
	}
	return answer.Body.Close()
}
