package hlsfallback

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// deadline bounds how long the caller may take the answer. A writer without
// deadlines, as in tests, has no connection to hold.
func (x *exchange) deadline() {
	_ = http.NewResponseController(x.w).SetWriteDeadline(time.Now().Add(x.h.config.Write))
}

// text answers with a playlist or another text.
func (x *exchange) text(b *body, contentType, cache []string) error {
	header := x.w.Header()
	header["Content-Type"] = contentType
	header["Cache-Control"] = cache
	data, length := b.plain, b.length
	if len(data) >= gzipFrom {
		header["Vary"] = x.h.constants.vary
		if acceptsGzip(x.r) {
			if packed, packedLength := b.gzip(x.h.packers); packed != nil {
				header["Content-Encoding"] = x.h.constants.gzip
				data, length = packed, packedLength
			}
		}
	}
	header["Content-Length"] = length
	x.write(http.StatusOK, data)
	return nil
}

func acceptsGzip(r *http.Request) bool {
	for _, list := range r.Header["Accept-Encoding"] {
		for coding := range strings.SplitSeq(list, ",") {
			name, weight, _ := strings.Cut(strings.TrimSpace(coding), ";")
			if name = strings.TrimSpace(name); strings.EqualFold(name, "gzip") {
				return strings.ReplaceAll(weight, " ", "") != "q=0"
			}
		}
	}
	return false
}

// media answers with bytes whose address never means anything else.
func (x *exchange) media(p *payload, contentType []string) error {
	c := x.h.constants
	header := x.w.Header()
	header["Content-Type"] = contentType
	header["Cache-Control"] = c.immutable
	header["Sluice-Since"] = p.since
	if x.kind != KindPart { // nobody asks for a piece of a part, nor for one again
		header["Etag"] = c.etag
		header["Accept-Ranges"] = c.bytes
	}
	if match := x.r.Header["If-None-Match"]; len(match) > 0 && matches(match[0], c.etag[0]) {
		x.write(http.StatusNotModified, nil)
		return nil
	}
	if asked := x.r.Header["Range"]; len(asked) > 0 {
		from, to, ok, valid := parseRange(asked[0], int64(len(p.data)))
		if valid && !ok {
			header.Set("Content-Range", "bytes */"+p.length[0])
			header.Del("Content-Type")
			header["Content-Length"] = []string{"0"}
			x.write(http.StatusRequestedRangeNotSatisfiable, nil)
			return nil
		}
		if valid && ifRange(x.r, c.etag[0]) {
			header.Set("Content-Range", contentRange(from, to, int64(len(p.data))))
			header["Content-Length"] = []string{strconv.FormatInt(to-from, 10)}
			x.write(http.StatusPartialContent, p.data[from:to])
			return nil
		}
	}
	header["Content-Length"] = p.length
	x.write(http.StatusOK, p.data)
	return nil
}

func (x *exchange) write(status int, data []byte) {
	x.status = status
	x.deadline()
	x.w.WriteHeader(status)
	if x.r.Method == http.MethodHead || len(data) == 0 {
		return
	}
	n, _ := x.w.Write(data) // the caller is gone; nobody is left to tell
	x.bytes += n
}

// matches compares weakly (RFC 9110 section 13.1.2).
func matches(ifNoneMatch, etag string) bool {
	for tag := range strings.SplitSeq(ifNoneMatch, ",") {
		if tag = strings.TrimSpace(tag); tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
			return true
		}
	}
	return false
}

// ifRange reports whether a range may be answered (RFC 9110 section 13.1.5).
func ifRange(r *http.Request, etag string) bool {
	list := r.Header["If-Range"]
	return len(list) == 0 || list[0] == etag
}

// parseRange reads a single range of bytes (RFC 9110 section 14.1.2): from
// inclusive, to exclusive. valid is false where the header says something else,
// which is then ignored; ok is false where nothing of size is in the range.
func parseRange(header string, size int64) (from, to int64, ok, valid bool) {
	spec, isBytes := strings.CutPrefix(header, "bytes=")
	if !isBytes || strings.Contains(spec, ",") {
		return 0, 0, false, false
	}
	first, last, dash := strings.Cut(strings.TrimSpace(spec), "-")
	if !dash {
		return 0, 0, false, false
	}
	if first == "" {
		n, err := strconv.ParseInt(last, 10, 64)
		if err != nil || n < 0 {
			return 0, 0, false, false
		}
		return max(size-n, 0), size, n > 0 && size > 0, true
	}
	from, err := strconv.ParseInt(first, 10, 64)
	if err != nil || from < 0 {
		return 0, 0, false, false
	}
	to = size
	if last != "" {
		n, err := strconv.ParseInt(last, 10, 64)
		if err != nil || n < from {
			return 0, 0, false, false
		}
		if n < size {
			to = n + 1
		}
	}
	return from, to, from < size, true
}

func contentRange(from, to, size int64) string {
	return "bytes " + strconv.FormatInt(from, 10) + "-" + strconv.FormatInt(to-1, 10) + "/" + strconv.FormatInt(size, 10)
}
