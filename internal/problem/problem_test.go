package problem_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/problem"
)

func TestWrite(t *testing.T) {
	tests := []struct {
		name       string
		err        error
		status     int
		code       sluice.Code
		detail     string
		retryAfter [2]int // least and most seconds; zero: none
	}{
		{"invalid", sluice.Errorf(sluice.CodeInvalid, "bad name"), 400, sluice.CodeInvalid, "bad name", [2]int{}},
		{"unauthenticated", sluice.Errorf(sluice.CodeUnauthenticated, "no token"), 401, sluice.CodeUnauthenticated, "no token", [2]int{}},
		{"forbidden", sluice.Errorf(sluice.CodeForbidden, "no"), 403, sluice.CodeForbidden, "no", [2]int{}},
		{"not found", sluice.Errorf(sluice.CodeNotFound, "gone"), 404, sluice.CodeNotFound, "gone", [2]int{}},
		{"busy", sluice.Errorf(sluice.CodeStreamBusy, "taken"), 409, sluice.CodeStreamBusy, "taken", [2]int{2, 3}},
		{"offline", &sluice.Error{Code: sluice.CodeStreamOffline, Detail: "nobody", RetryAfter: 10 * time.Second}, 409, sluice.CodeStreamOffline, "nobody", [2]int{10, 15}},
		{"part of a second", &sluice.Error{Code: sluice.CodeStreamOffline, RetryAfter: time.Millisecond}, 409, sluice.CodeStreamOffline, "", [2]int{1, 2}},
		{"precondition failed", sluice.Errorf(sluice.CodePreconditionFailed, "old"), 412, sluice.CodePreconditionFailed, "old", [2]int{}},
		{"too large", sluice.Errorf(sluice.CodeTooLarge, "big"), 413, sluice.CodeTooLarge, "big", [2]int{}},
		{"body limit", fmt.Errorf("read: %w", &http.MaxBytesError{Limit: 9}), 413, sluice.CodeTooLarge, "the body is over the limit", [2]int{}},
		{"media type", sluice.Errorf(sluice.CodeUnsupportedMediaType, "t"), 415, sluice.CodeUnsupportedMediaType, "t", [2]int{}},
		{"unprocessable", sluice.Errorf(sluice.CodeUnprocessable, "rid"), 422, sluice.CodeUnprocessable, "rid", [2]int{}},
		{"precondition required", sluice.Errorf(sluice.CodePreconditionRequired, "tag"), 428, sluice.CodePreconditionRequired, "tag", [2]int{}},
		{"too many", sluice.Errorf(sluice.CodeTooManyRequests, "slow"), 429, sluice.CodeTooManyRequests, "slow", [2]int{2, 3}},
		{"unavailable", sluice.Errorf(sluice.CodeUnavailable, "full"), 503, sluice.CodeUnavailable, "full", [2]int{5, 7}},
		{"wrapped", fmt.Errorf("watch: %w", sluice.Errorf(sluice.CodeNotFound, "gone")), 404, sluice.CodeNotFound, "gone", [2]int{}},
		{"unknown code", &sluice.Error{Code: "strange", Detail: "d"}, 500, "strange", "d", [2]int{}},
		{"foreign error", errors.New("dial 10.0.0.1: secret"), 500, sluice.CodeInternal, "the server failed; the request id leads to the cause in its log", [2]int{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			w.Header().Set("X-Request-ID", "r1")
			problem.Write(w, httptest.NewRequest(http.MethodPost, "/x", nil), tt.err)

			var p problem.Problem
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
				t.Fatal(err)
			}
			want := problem.Problem{Type: problem.TypePrefix + string(tt.code), Title: p.Title, Status: tt.status, Detail: tt.detail, RequestID: "r1"}
			if p != want || w.Code != tt.status || p.Title == "" {
				t.Errorf("got %d %+v, want %+v", w.Code, p, want)
			}
			if got := w.Header().Get("Content-Type"); got != problem.ContentType {
				t.Errorf("Content-Type %q", got)
			}
			checkRetryAfter(t, w.Header().Get("Retry-After"), tt.retryAfter)
			if got := w.Header().Get("WWW-Authenticate") != ""; got != (tt.status == 401) {
				t.Errorf("WWW-Authenticate present: %v", got)
			}
		})
	}
}

func checkRetryAfter(t *testing.T, got string, want [2]int) {
	t.Helper()
	if want == [2]int{} {
		if got != "" {
			t.Errorf("Retry-After %q, want none", got)
		}
		return
	}
	n, err := strconv.Atoi(got)
	if err != nil || n < want[0] || n > want[1] {
		t.Errorf("Retry-After %q, want %v", got, want)
	}
}

func TestRetryAfterIsJittered(t *testing.T) {
	seen := map[string]bool{}
	for range 200 {
		_, h := problem.For(sluice.Errorf(sluice.CodeStreamOffline, "nobody"))
		seen[h.Get("Retry-After")] = true
	}
	if len(seen) < 2 {
		t.Errorf("200 answers, all with the same Retry-After %v", seen)
	}
}

func TestUnauthenticatedNamesABadToken(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "/whip/demo", nil)
	r.Header.Set("Authorization", "Bearer x")
	w := httptest.NewRecorder()
	problem.Write(w, r, sluice.Errorf(sluice.CodeUnauthenticated, "expired"))
	if got := w.Header().Get("WWW-Authenticate"); !strings.Contains(got, `error="invalid_token"`) {
		t.Errorf("WWW-Authenticate %q", got)
	}
}

func TestNotFoundAndMethodNotAllowed(t *testing.T) {
	w := httptest.NewRecorder()
	problem.NotFound(w, httptest.NewRequest(http.MethodGet, "/nowhere", nil))
	if w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "/problems/not-found") {
		t.Errorf("%d %s", w.Code, w.Body)
	}

	w = httptest.NewRecorder()
	problem.MethodNotAllowed(w, httptest.NewRequest(http.MethodPut, "/whep/demo", nil), "GET", "POST", "OPTIONS")
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, POST, OPTIONS" {
		t.Errorf("%d Allow %q", w.Code, w.Header().Get("Allow"))
	}
	if !strings.Contains(w.Body.String(), "/problems/method-not-allowed") {
		t.Errorf("body %s", w.Body)
	}
}

func TestHeadHasNoBody(t *testing.T) {
	w := httptest.NewRecorder()
	problem.NotFound(w, httptest.NewRequest(http.MethodHead, "/nowhere", nil))
	if w.Body.Len() != 0 || w.Header().Get("Content-Length") == "" {
		t.Errorf("body %q, Content-Length %q", w.Body, w.Header().Get("Content-Length"))
	}
}
