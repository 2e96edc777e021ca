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
	"github.com/sluice-live/sluice/internal/obs"
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
}

// ServeHTTP answers everything below /hls/ and /vod/. It does without the
// middlewares of other routes, for most requests to a node are its: it sets the
// headers that every answer has, bounds the time to take it, counts and logs.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	x := &exchange{h: h, w: w, r: r, status: http.StatusOK}
	h.head(w.Header(), r)
	err := x.serve()
	if err != nil {
		x.fail(err)
	}
	h.stats.count(x.kind, x.status, x.bytes)
	h.log(x, time.Since(start), err)
}

func (h *Handler) log(x *exchange, took time.Duration, err error) {
	level := slog.LevelDebug
	if x.status >= http.StatusInternalServerError && x.status != http.StatusServiceUnavailable {
		level = slog.LevelWarn
	}
	ctx := x.r.Context()
	if !h.deps.Log.Enabled(ctx, level) {
		return
	}
	h.deps.Log.Log(ctx, level, "hls request", "kind", x.kind.String(), "stream", x.stream, "status", x.status,
		"bytes", x.bytes, "ms", float64(took.Microseconds())/1000, "request", x.w.Header().Get(obs.RequestIDHeader), "err", err)
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
		expose:   []string{"Content-Length, Content-Range, ETag, Retry-After, WWW-Authenticate, X-Request-ID, Sluice-Since, Date"},
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

// head sets what every answer has. The keys are in canonical form.
func (h *Handler) head(header http.Header, r *http.Request) {
	c := h.constants
	header["X-Request-Id"] = []string{h.ids.ID(first(r.Header["X-Request-Id"]))}
	header["Access-Control-Allow-Origin"] = c.star
	header["Access-Control-Expose-Headers"] = c.expose
	header["X-Content-Type-Options"] = c.nosniff
	header["Referrer-Policy"] = c.referrer
}

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
	t, ok := parsePath(x.r.URL.Path)
	if !ok {
		return notFound()
	}
	if t.stream != "" {
		if err := sluice.CheckStreamName(t.stream); err != nil {
			return err
		}
	}
	d, err := parseQuery(x.r.URL.RawQuery)
	if err != nil {
		return err
	}
	grant, err := x.h.authorize(x.r, bearer(x.r, t.token, d.token))
	if err != nil {
		return err
	}
	s, err := x.find(t, grant)
	if err != nil {
		return err
	}
	if t.rendition == "" {
		return x.beside(s, t, d)
	}
	track := s.track(t.rendition)
	if track == nil {
		return notFound()
	}
	return x.below(track, t, d)
}

func notFound() error { return sluice.Errorf(sluice.CodeNotFound, "there is nothing at this address") }

// find returns the show that a path names, when the grant allows watching it.
func (x *exchange) find(t target, grant sluice.Grant) (s *show, err error) {
	ctx := x.r.Context()
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
func (x *exchange) beside(s *show, t target, d directives) error {
	c := x.h.constants
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
func (x *exchange) below(t *track, path target, d directives) error {
	c := x.h.constants
	ctx := x.r.Context()
	kind, number := parseFile(path.file)
	switch kind {
	case filePlaylist:
		x.kind = KindPlaylist
		if t.show.archive {
			return x.text(t.archived(path.vod), c.playlist, x.archiveCache(t))
		}
		b, err := x.h.playlist(ctx, t, d)
		if err != nil {
			return err
		}
		return x.text(b, c.playlist, x.playlistCache(t, d))
	case fileIFrames:
		x.kind = KindPlaylist
		if t.rendition().Kind != sluice.RenditionVideo {
			return notFound()
		}
		return x.text(t.iframes(), c.playlist, c.soon)
	case filePart:
		x.kind = KindPart
		p, err := x.h.fetch(ctx, t, strings.TrimSuffix(path.file, ".m4s"))
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
func (x *exchange) playlistCache(t *track, d directives) []string {
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
	x.deadline()
	problem.Write(x.w, x.r, err)
}
