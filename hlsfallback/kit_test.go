package hlsfallback

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-live/sluice"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shelf keeps in memory what a feed has finished.
type shelf struct {
	mu         sync.Mutex
	recordings []sluice.Recording
	renditions map[string][]sluice.Rendition
	segments   map[string]map[string][]sluice.Segment
	bytes      map[string][]byte
	reads      int
	elsewhere  bool // running recordings run on another node
}

func newShelf() *shelf {
	return &shelf{renditions: map[string][]sluice.Rendition{}, segments: map[string]map[string][]sluice.Segment{}, bytes: map[string][]byte{}}
}

func (s *shelf) Recording(_ context.Context, rec string) (sluice.Recording, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.recordings {
		if r.ID == rec {
			return r, nil
		}
	}
	return sluice.Recording{}, sluice.Errorf(sluice.CodeNotFound, "there is no such recording")
}

func (s *shelf) Running(_ context.Context, stream string) (sluice.Recording, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.recordings {
		if s.elsewhere && r.Stream == stream && r.Ended.IsZero() {
			return r, nil
		}
	}
	return sluice.Recording{}, sluice.Errorf(sluice.CodeNotFound, "no other node records it")
}

func (s *shelf) Timeline(_ context.Context, rec string) ([]sluice.Rendition, map[string][]sluice.Segment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	segments := map[string][]sluice.Segment{}
	for id, list := range s.segments[rec] {
		segments[id] = slices.Clone(list)
	}
	return slices.Clone(s.renditions[rec]), segments, nil
}

type seekCloser struct{ *bytes.Reader }

func (seekCloser) Close() error { return nil }

func (s *shelf) Segment(_ context.Context, rec, rendition string, seq uint64) (io.ReadSeekCloser, error) {
	data, err := s.read(fmt.Sprintf("%s/%s/%d", rec, rendition, seq))
	return seekCloser{bytes.NewReader(data)}, err
}

func (s *shelf) InitSection(_ context.Context, rec, rendition string, version int) ([]byte, error) {
	return s.read(fmt.Sprintf("%s/%s/init%d", rec, rendition, version))
}

func (s *shelf) Thumbnail(_ context.Context, rec string, n uint64) ([]byte, error) {
	return s.read(fmt.Sprintf("%s/thumb%d", rec, n))
}

func (s *shelf) read(name string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	data, ok := s.bytes[name]
	if !ok {
		return nil, sluice.Errorf(sluice.CodeNotFound, "no %s", name)
	}
	return data, nil
}

// open lets everybody watch, except that a token "other" is for another stream
// and "bad" is refused.
type open struct{ calls int }

func (o *open) Authorize(_ context.Context, bearer string) (sluice.Grant, error) {
	o.calls++
	switch bearer {
	case "bad":
		return sluice.Grant{}, sluice.Errorf(sluice.CodeUnauthenticated, "refused")
	case "other":
		return sluice.Grant{Watch: true, Stream: "other"}, nil
	}
	return sluice.Grant{Watch: true}, nil
}

type refuser struct{ refused int }

func (r *refuser) Refuse(_ netip.Addr, cause error) error {
	r.refused++
	return cause
}

// feed plays the recorder.
type feed struct {
	t      testing.TB
	h      *Handler
	shelf  *shelf
	auth   *open
	limits *refuser
	rec    sluice.Recording
	config Config
	tracks map[string]*feedTrack
}

type feedTrack struct {
	next sluice.Segment // grows
	data []byte
}

const (
	partTime    = 200 * time.Millisecond
	segmentTime = 2 * time.Second
)

func startTime() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

// newFeed begins a show "rec1" of the stream "demo" with a video rendition "v0"
// and an audio rendition "opus".
func newFeed(t testing.TB, config Config) *feed {
	f := &feed{t: t, shelf: newShelf(), auth: &open{}, limits: &refuser{}, config: config}
	f.start()
	f.begin("rec1")
	return f
}

// start makes a handler over the shelf, as a process does.
func (f *feed) start() {
	var err error
	f.h, err = New(Deps{Shelf: f.shelf, Auth: f.auth, Limiter: f.limits, Log: slog.New(slog.DiscardHandler)}, f.config)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(f.h.Close)
}

func (f *feed) begin(id string) {
	f.rec = sluice.Recording{ID: id, Stream: "demo", Started: startTime()}
	renditions := []sluice.Rendition{
		{ID: "v0", Kind: sluice.RenditionVideo, Codecs: "avc1.42e01f", Width: 640, Height: 360, FrameRate: 30},
		{ID: "opus", Kind: sluice.RenditionAudio, Codecs: "opus", Channels: 2, Default: true},
	}
	f.shelf.mu.Lock()
	if len(f.shelf.renditions[id]) == 0 {
		f.shelf.recordings = append(f.shelf.recordings, f.rec)
		f.shelf.renditions[id] = renditions
		f.shelf.segments[id] = map[string][]sluice.Segment{}
	}
	f.shelf.mu.Unlock()
	f.h.Begin(f.rec)
	f.h.loading.Wait()
	f.h.Describe(id, renditions)
	f.tracks = map[string]*feedTrack{}
	for _, r := range renditions {
		next := sluice.Segment{Start: startTime()}
		if past := f.shelf.segments[id][r.ID]; len(past) > 0 {
			last := past[len(past)-1]
			next = sluice.Segment{Sequence: last.Sequence + 1, Start: last.Start.Add(last.Duration), Discontinuity: true}
		}
		f.tracks[r.ID] = &feedTrack{next: next}
		f.init(r.ID, next.Init, []byte("init of "+r.ID))
	}
}

func (f *feed) init(rendition string, version int, data []byte) {
	f.shelf.mu.Lock()
	f.shelf.bytes[fmt.Sprintf("%s/%s/init%d", f.rec.ID, rendition, version)] = data
	f.shelf.mu.Unlock()
	f.h.Init(f.rec.ID, rendition, version, data)
}

// part adds a part of the usual length.
func (f *feed) part(rendition string) { f.partOf(rendition, partTime, nil) }

func (f *feed) partOf(rendition string, d time.Duration, data []byte) {
	ft := f.tracks[rendition]
	if data == nil {
		data = fmt.Appendf(nil, "%s/%s/%d.%d;", f.rec.ID, rendition, ft.next.Sequence, len(ft.next.Parts))
	}
	p := sluice.Part{
		Index: len(ft.next.Parts), Duration: d, Independent: len(ft.next.Parts) == 0 || rendition == "opus",
		Bytes: sluice.ByteRange{Offset: int64(len(ft.data)), Length: int64(len(data))},
	}
	f.h.Part(f.rec.ID, rendition, sluice.Segment{
		Sequence: ft.next.Sequence, Init: ft.next.Init, Start: ft.next.Start, Discontinuity: ft.next.Discontinuity, Breaks: ft.next.Breaks,
	}, p, data)
	ft.next.Parts = append(ft.next.Parts, p)
	ft.next.Duration += d
	ft.data = append(ft.data, data...)
}

// finish ends the growing segment.
func (f *feed) finish(rendition string) {
	ft := f.tracks[rendition]
	ft.next.Size = int64(len(ft.data))
	if len(ft.next.Parts) > 0 && rendition == "v0" {
		ft.next.Key = ft.next.Parts[0].Bytes
	}
	f.put(rendition, ft.next, ft.data)
	*ft = feedTrack{next: sluice.Segment{Sequence: ft.next.Sequence + 1, Init: ft.next.Init, Breaks: ft.next.Breaks, Start: ft.next.Start.Add(ft.next.Duration)}}
}

func (f *feed) put(rendition string, seg sluice.Segment, data []byte) {
	f.shelf.mu.Lock()
	f.shelf.segments[f.rec.ID][rendition] = append(f.shelf.segments[f.rec.ID][rendition], seg)
	if !seg.Gap {
		f.shelf.bytes[fmt.Sprintf("%s/%s/%d", f.rec.ID, rendition, seg.Sequence)] = data
	}
	f.shelf.mu.Unlock()
	f.h.Segment(f.rec.ID, rendition, seg)
}

// gap finishes a segment without media.
func (f *feed) gap(rendition string) {
	f.tracks[rendition].next.Gap = true
	f.tracks[rendition].next.Duration = segmentTime
	f.finish(rendition)
}

// segment adds n whole segments of ten parts to every rendition.
func (f *feed) segment(n int) {
	for range n {
		for range 10 {
			f.part("v0")
			f.part("opus")
		}
		f.finish("v0")
		f.finish("opus")
	}
}

func (f *feed) end() {
	f.shelf.mu.Lock()
	for i := range f.shelf.recordings {
		if f.shelf.recordings[i].ID == f.rec.ID {
			f.shelf.recordings[i].Ended = startTime().Add(time.Hour)
		}
	}
	f.shelf.mu.Unlock()
	f.h.End(f.rec.ID)
}

func (f *feed) do(method, path string, header ...string) *httptest.ResponseRecorder {
	f.t.Helper()
	r := httptest.NewRequestWithContext(context.Background(), method, path, http.NoBody)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	f.h.ServeHTTP(w, r)
	return w
}

// get returns the body of an answer that must have the status.
func (f *feed) get(path string, status int, header ...string) string {
	f.t.Helper()
	w := f.do(http.MethodGet, path, header...)
	if w.Code != status {
		f.t.Fatalf("GET %s: status %d, want %d\n%s", path, w.Code, status, w.Body)
	}
	return w.Body.String()
}

const (
	video = "/hls/demo/rec1/v0/"
	audio = "/hls/demo/rec1/opus/"
	live  = video + "index.m3u8"
)

// playlist returns the media playlist of the video.
func (f *feed) playlist(query string) string {
	f.t.Helper()
	return f.get(live+query, http.StatusOK)
}

// tag returns the value of the first tag of a name, "" when there is none.
func tag(playlist, name string) string {
	for line := range strings.Lines(playlist) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+":"); ok {
			return value
		}
	}
	return ""
}

func tags(playlist, name string) (values []string) {
	for line := range strings.Lines(playlist) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+":"); ok {
			values = append(values, value)
		} else if strings.TrimSpace(line) == name {
			values = append(values, "")
		}
	}
	return values
}

func number(t testing.TB, playlist, name string) int {
	t.Helper()
	n, err := strconv.Atoi(tag(playlist, name))
	if err != nil {
		t.Fatalf("%s: %v in\n%s", name, err, playlist)
	}
	return n
}

func attribute(value, name string) string {
	for _, pair := range strings.Split(value, ",") {
		if v, ok := strings.CutPrefix(pair, name+"="); ok {
			return strings.Trim(v, `"`)
		}
	}
	return ""
}
