package problem

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-live/sluice"
)

// TypePrefix precedes the code in a problem's type URI.
const TypePrefix = "https://sluice.live/problems/"

// ContentType is the media type of a problem (RFC 9457 section 6.1).
const ContentType = "application/problem+json"

// CodeMethodNotAllowed is the code of a 405. It exists only over HTTP and is
// therefore no domain code.
const CodeMethodNotAllowed sluice.Code = "method-not-allowed"

// Problem is the body of an error response.
type Problem struct {
	Type      string `json:"type" format:"uri" doc:"Stable identifier of the cause" example:"https://sluice.live/problems/not-found"`
	Title     string `json:"title" doc:"The cause in words; the same for every problem of this type"`
	Status    int    `json:"status" doc:"HTTP status"`
	Detail    string `json:"detail,omitempty" doc:"What went wrong this time"`
	RequestID string `json:"requestId,omitempty" doc:"X-Request-ID of the response, for finding it in the logs"`
}

// For returns the problem that a caller sees for err, and the headers that go
// with it. An error without a code is an internal one, whose text is not shown.
func For(err error) (Problem, http.Header) {
	code, detail, retry := read(err)
	to := ""
	if e, ok := errors.AsType[*sluice.Error](err); ok && e.Elsewhere != nil {
		to = e.Elsewhere.URL
	}
	p := Problem{Type: TypePrefix + string(code), Title: title(code), Status: Status(code), Detail: detail}
	h := http.Header{}
	h.Set("Content-Type", ContentType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	switch p.Status {
	case http.StatusConflict, http.StatusTooManyRequests, http.StatusServiceUnavailable:
		h.Set("Retry-After", strconv.Itoa(retryAfter(p.Status, retry)))
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="sluice"`)
	case http.StatusTemporaryRedirect:
		h.Set("Location", to)
	}
	if code == sluice.CodeFallback && to != "" {
		h.Set("Link", "<"+to+`>; rel="alternate"; type="application/vnd.apple.mpegurl"`)
	}
	return p, h
}

// Write answers r with err. Nothing may have been written to w before. When w
// carries an X-Request-ID header the body repeats it.
func Write(w http.ResponseWriter, r *http.Request, err error) {
	p, h := For(err)
	if p.Status == http.StatusUnauthorized && r.Header.Get("Authorization") != "" {
		h.Set("WWW-Authenticate", `Bearer realm="sluice", error="invalid_token"`) // RFC 6750 section 3
	}
	send(w, r, p, h)
}

// NotFound answers that there is no such route or resource.
func NotFound(w http.ResponseWriter, r *http.Request) {
	Write(w, r, sluice.Errorf(sluice.CodeNotFound, "there is nothing at this address"))
}

// MethodNotAllowed answers 405 with the methods that the resource does allow.
func MethodNotAllowed(w http.ResponseWriter, r *http.Request, allow ...string) {
	list := strings.Join(allow, ", ")
	p, h := For(sluice.Errorf(CodeMethodNotAllowed, "this resource allows: %s", list))
	h.Set("Allow", list)
	send(w, r, p, h)
}

func send(w http.ResponseWriter, r *http.Request, p Problem, h http.Header) {
	p.RequestID = w.Header().Get("X-Request-Id")
	body, err := json.Marshal(p)
	if err != nil { // cannot happen: strings and an int
		http.Error(w, p.Title, p.Status)
		return
	}
	body = append(body, '\n')
	for name, values := range h {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(p.Status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the caller is gone; nobody is left to tell
	}
}

func read(err error) (code sluice.Code, detail string, retry time.Duration) {
	if e, ok := errors.AsType[*sluice.Error](err); ok {
		return e.Code, e.Detail, e.RetryAfter
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return sluice.CodeTooLarge, "the body is over the limit", 0
	}
	return sluice.CodeInternal, "the server failed; the request id leads to the cause in its log", 0
}

// retryAfter returns seconds from asked to asked and a half, at random, so that
// callers who were refused together do not come back together.
func retryAfter(status int, asked time.Duration) int {
	if asked <= 0 {
		asked = 2 * time.Second
		if status == http.StatusServiceUnavailable {
			asked = 5 * time.Second
		}
	}
	least := int((asked + time.Second - 1) / time.Second)
	return least + rand.IntN(max(least/2, 1)+1)
}
