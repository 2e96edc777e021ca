package wish

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"

	sluice "github.com/sluice-live/sluice"
)

// CORS sets the headers that let a page of any origin use the resource. They
// go on every response, errors too. No cookie is ever read, hence the star.
func CORS(h http.Header, methods ...string) {
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers",
		"Location, ETag, Link, Accept-Post, Accept-Patch, Allow, Retry-After, WWW-Authenticate, X-Request-ID")
	h.Set("Access-Control-Allow-Methods", strings.Join(methods, ", "))
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, If-Match, Last-Event-ID, X-Request-ID")
	h.Set("Access-Control-Max-Age", "86400")
}

// Preflight reports whether r is a CORS preflight.
func Preflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
}

// Empty answers without a body.
func Empty(w http.ResponseWriter, status int) {
	if status != http.StatusNoContent {
		w.Header().Set("Content-Length", "0")
	}
	w.WriteHeader(status)
}

// CheckType refuses a body that is not of the wanted media type (case and
// parameters do not matter), or that is compressed, with CodeUnsupportedMediaType.
func CheckType(r *http.Request, want string) error {
	for _, enc := range r.Header.Values("Content-Encoding") {
		if enc = strings.TrimSpace(enc); enc != "" && !strings.EqualFold(enc, "identity") {
			return sluice.Errorf(sluice.CodeUnsupportedMediaType, "a body must not be compressed")
		}
	}
	got, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) || !strings.EqualFold(got, want) {
		return sluice.Errorf(sluice.CodeUnsupportedMediaType, "the content type must be %s", want)
	}
	return nil
}

// readBody reads a body of at most most bytes that comes within the time.
func readBody(w http.ResponseWriter, r *http.Request, most int, within time.Duration) (string, error) {
	tooLarge := sluice.Errorf(sluice.CodeTooLarge, "the body has more than %d bytes", most)
	if r.ContentLength > int64(most) {
		return "", tooLarge
	}
	rc := http.NewResponseController(w)
	// A writer without deadlines, as in tests, has no connection to protect.
	_ = rc.SetReadDeadline(time.Now().Add(within))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(most)))
	if err == nil {
		_ = rc.SetReadDeadline(time.Time{})
		return string(body), nil
	}
	// The deadline stays, or the server would go on to wait for the rest.
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return "", tooLarge
	}
	detail := "the body ended early"
	if errors.Is(err, os.ErrDeadlineExceeded) {
		detail = "the body took too long"
	}
	return "", &sluice.Error{Code: sluice.CodeInvalid, Detail: detail, Err: err}
}
