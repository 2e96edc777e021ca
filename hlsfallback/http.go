package hlsfallback

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/problem"
	"github.com/sluice-live/sluice/internal/wish"
)

// Handles reports whether a path is one of ServeHTTP's.
func Handles(path string) bool {
	return strings.HasPrefix(path, "/hls/") || strings.HasPrefix(path, "/vod/")
}

// exchange is one request and what became of it.
type exchange struct {
	h      *Handler
	w      http.ResponseWriter
	r      *http.Request
	kind   Kind
	status int
	bytes  int
	stream string
	start  time.Time
	id     [1]string // X-Request-ID
	target target
	ask    directives
}

// ServeHTTP answers everything below /hls/ and /vod/. It does without the
// middlewares of other routes, for most requests to a node are its: it sets the
// headers that every answer has, bounds the time to take it, counts and logs.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{h: h, w: w, r: r, status: http.StatusOK, start: time.Now()}
	x.head()
	err := x.serve()
	if err != nil {
		x.fail(err)
	}
	h.stats.count(x.kind, x.status, x.bytes)
	h.log(x, err)
}

func (h *Handler) log(x *exchange, err error) {
	level := slog.LevelDebug
	if x.status >= http.StatusInternalServerError && x.status != http.StatusServiceUnavailable {
		level = slog.LevelWarn
	}
	ctx := x.r.Context()
	if !h.deps.Log.Enabled(ctx, level) {
		return
	}
	h.deps.Log.Log(ctx, level, "hls request", "kind", x.kind.String(), "stream", x.stream, "status", x.status,
		"bytes", x.bytes, "ms", float64(time.Since(x.start).Microseconds())/1000, "request", x.id[0], "err", err)
}

// headers that never change, shared by all answers.
type constants struct {
	star, expose, nosniff, referrer           []string
	playlist, mp4, vtt, jpeg, gzip, vary      []string
	bytes, immutable, soon, past, brief, etag []string
}

func (c Config) constants() *constants {
	seconds := func(d time.Duration) string { return strconv.Itoa(max(int(d/time.Second), 1)) }
	scope := "public, "
	if c.Private {
		scope = "private, "
	}
	return &constants{
		star:     []string{"*"},
		expose:   []string{"*"}, // no answer is for credentials that a browser has
		nosniff:  []string{"nosniff"},
		referrer: []string{"no-referrer"},
		playlist: []string{"application/vnd.apple.mpegurl"},
		mp4:      []string{"video/mp4"},
		vtt:      []string{"text/vtt; charset=utf-8"},
		jpeg:     []string{"image/jpeg"},
		gzip:     []string{"gzip"},
		vary:     []string{"Accept-Encoding"},
		bytes:    []string{"bytes"},
		etag:     []string{`"1"`}, // of addresses whose content never changes
		// A cache may keep what was asked for by number: another answer to the
		// same question says no more (RFC 8216bis appendix B.1).
		immutable: []string{scope + "max-age=31536000, immutable"},
		past:      []string{scope + "max-age=" + seconds(6*c.Target)},
		soon:      []string{scope + "max-age=" + seconds(c.Target/2)},
		brief:     []string{scope + "max-age=1"},
	}
}

// head sets what every answer has. The keys are in canonical form. Each field
// costs an answer by HTTP/2 two allocations and its coding: parts and playlists,
// ten of each a second for each viewer, have none that says nothing to players.
func (x *exchange) head() {
	c := x.h.constants
	header := x.w.Header()
	x.id[0] = x.h.ids.ID(first(x.r.Header["X-Request-Id"]))
	header["X-Request-Id"] = x.id[:]
	header["Access-Control-Allow-Origin"] = c.star
	header["Access-Control-Expose-Headers"] = c.expose
	header["X-Content-Type-Options"] = c.nosniff
}

// private keeps the address, which may hold a token, from what a page of it links
// to: a browser may show what is no media.
func (x *exchange) private() { x.w.Header()["Referrer-Policy"] = x.h.constants.referrer }

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

func (x *exchange) serve() error {
	switch x.r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodOptions:
		wish.CORS(x.w.Header(), http.MethodGet, http.MethodHead, http.MethodOptions)
		x.w.Header().Set("Access-Control-Allow-Headers", "Authorization, Range, If-None-Match, X-Request-ID")
		x.status = http.StatusNoContent
		wish.Empty(x.w, x.status)
		return nil
	default:
		x.status = http.StatusMethodNotAllowed
		problem.MethodNotAllowed(x.w, x.r, http.MethodGet, http.MethodHead, http.MethodOptions)
		return nil
	}
	s, err := x.resolve()
	if err != nil {
		return err
	}
	if x.target.rendition == "" {
		return x.beside(s)
	}
	track := s.track(x.target.rendition)
	if track == nil {
		return notFound()
	}
	return x.below(track)
}

// resolve reads the address and returns the show that it names. What it needs of
// the stack is free again while the request waits.
func (x *exchange) resolve() (*show, error) {
	var ok bool
	if x.target, ok = parsePath(x.r.URL.Path); !ok {
		return nil, notFound()
	}
	if x.target.stream != "" {
		if err := sluice.CheckStreamName(x.target.stream); err != nil {
			return nil, err
		}
	}
	var err error
	if x.ask, err = parseQuery(x.r.URL.RawQuery); err != nil {
		return nil, err
	}
	grant, err := x.h.authorize(x.r, bearer(x.r, x.target.token, x.ask.token), x.start)
	if err != nil {
		return nil, err
	}
	return x.find(grant)
}

func notFound() error { return sluice.Errorf(sluice.CodeNotFound, "there is nothing at this address") }

// find returns the show that a path names, when the grant allows watching it.
func (x *exchange) find(grant sluice.Grant) (s *show, err error) {
	t, ctx := &x.target, x.r.Context()
	if !t.vod {
		x.stream = t.stream
		if err := mayWatch(grant, t.stream); err != nil {
			return nil, err
		}
		if t.recording == "" {
			return x.h.live(ctx, t.stream)
		}
		if s, err = x.h.recording(ctx, t.recording, false); err == nil && s.rec.Stream != t.stream {
			return nil, notFound()
		}
		return s, err
	}
	if s, err = x.h.recording(ctx, t.recording, true); err != nil {
		return nil, err
	}
	x.stream = s.rec.Stream
	return s, mayWatch(grant, s.rec.Stream)
}

// beside answers what belongs to the show as a whole.
func (x *exchange) beside(s *show) error {
	t, d, c := &x.target, &x.ask, x.h.constants
	x.private()
	switch {
	case t.file == "index.m3u8" && (t.vod || t.recording == ""):
		x.kind = KindMultivariant
		if err := s.wait(x.r.Context(), x.h.done, s.first); err != nil {
			return err
		}
		prefix := ""
		if d.token != "" && t.token == "" {
			prefix = "~" + url.PathEscape(d.token) + "/"
		}
		if !t.vod {
			prefix += s.rec.ID + "/"
		}
		return x.text(newBody(s.multivariant(prefix)), c.playlist, c.soon)
	case t.vod && t.file == "recording.mp4":
		x.kind = KindFile
		return x.recording(s)
	case t.file == "thumbs.vtt" && t.recording != "":
		x.kind = KindThumbnail
		return x.text(newBody(s.thumbnails()), c.vtt, c.soon)
	case strings.HasPrefix(t.file, "thumb") && t.recording != "":
		x.kind = KindThumbnail
		number, ok := strings.CutSuffix(strings.TrimPrefix(t.file, "thumb"), ".jpg")
		if !ok || !plain(number) {
			return notFound()
		}
		n, err := strconv.ParseUint(number, 10, 47)
		if err != nil {
			return notFound()
		}
		data, err := x.h.deps.Shelf.Thumbnail(x.r.Context(), s.rec.ID, n)
		if err != nil {
			return err
		}
		return x.media(newPayload(data), c.jpeg)
	}
	return notFound()
}

// below answers what belongs to one rendition.
func (x *exchange) below(t *track) error {
	c := x.h.constants
	ctx := x.r.Context()
	file := x.target.file
	kind, number := parseFile(file)
	switch kind {
	case filePlaylist:
		x.kind = KindPlaylist
		if t.show.archive {
			return x.text(t.archived(x.target.vod), c.playlist, x.archiveCache(t))
		}
		b, err := x.h.playlist(ctx, t, &x.ask)
		if err != nil {
			return err
		}
		return x.text(b, c.playlist, x.playlistCache(t, &x.ask))
	case fileIFrames:
		x.kind = KindPlaylist
		if t.rendition().Kind != sluice.RenditionVideo {
			return notFound()
		}
		return x.text(t.iframes(), c.playlist, c.soon)
	case filePart:
		x.kind = KindPart
		p, err := x.h.fetch(ctx, t, strings.TrimSuffix(file, ".m4s"))
		if err != nil {
			return err
		}
		return x.media(p, c.mp4)
	case fileSegment, fileInit:
		x.kind = KindSegment
		if kind == fileInit {
			x.kind = KindInit
		}
		p, err := x.h.media(ctx, t, kind, number)
		if err != nil {
			return err
		}
		return x.media(p, c.mp4)
	}
	return notFound()
}

func (x *exchange) archiveCache(t *track) []string {
	if t.over {
		return x.h.constants.past
	}
	return x.h.constants.soon
}

// playlistCache says how long an answer may be kept: long where the request
// names the newest position, which no later answer improves on much; half a
// target duration at most where it asks for what is there.
func (x *exchange) playlistCache(t *track, d *directives) []string {
	c := x.h.constants
	last := unpack(t.last.Load())
	if d.blocks && d.at.msn+1 >= last.msn {
		return c.past
	}
	if d.blocks {
		return c.brief
	}
	return c.soon
}

// fail answers with an error. A caller that is gone gets none.
func (x *exchange) fail(err error) {
	if errors.Is(err, context.Canceled) && x.r.Context().Err() != nil {
		x.status = statusGone
		return
	}
	x.status = problem.Status(sluice.CodeOf(err))
	x.private()
	x.deadline()
	problem.Write(x.w, x.r, err)
}
