package hlsfallback

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// discard takes an answer and forgets it.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header              { return d.header }
func (d *discard) Write(b []byte) (int, error)      { return len(b), nil }
func (d *discard) WriteHeader(int)                  {}
func (d *discard) SetWriteDeadline(time.Time) error { return nil }

// What players ask for ten times a second takes few allocations, and parts no more
// header fields than a small map holds.
func TestRequestsAreCheap(t *testing.T) {
	f := newFeed(t, Config{})
	f.segment(60)
	f.part("v0")
	tests := []struct {
		name, path     string
		fields, allocs int
	}{
		{"delta", live + "?_HLS_msn=60&_HLS_part=0&_HLS_skip=YES", 9, 2},
		{"part", video + "59.3.m4s", 8, 2},
	}
	for _, tt := range tests {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, tt.path, http.NoBody)
		r.Header.Set("Accept-Encoding", "gzip")
		w := &discard{header: http.Header{}}
		n := testing.AllocsPerRun(100, func() { f.h.ServeHTTP(w, r) })
		if len(w.header) > tt.fields || int(n) > tt.allocs {
			t.Errorf("%s: %.0f allocations, header %v", tt.name, n, w.header)
		}
	}
}

// BenchmarkRequest is the handler without HTTP: what a request costs here.
func BenchmarkRequest(b *testing.B) {
	f := newFeed(b, Config{})
	f.segment(60)
	f.part("v0")
	for name, path := range map[string]string{
		"playlist":     live + "?_HLS_msn=60&_HLS_part=0",
		"delta":        live + "?_HLS_msn=60&_HLS_part=0&_HLS_skip=YES",
		"part":         video + "59.3.m4s",
		"segment":      video + "59.m4s",
		"multivariant": "/hls/demo/index.m3u8",
	} {
		b.Run(name, func(b *testing.B) {
			r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, path, http.NoBody)
			r.Header.Set("Authorization", "Bearer fine")
			w := &discard{header: http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				f.h.ServeHTTP(w, r)
			}
		})
	}
}

// BenchmarkChange is a new part whose playlist somebody asks for, with a window
// of four hours.
func BenchmarkChange(b *testing.B) {
	for name, query := range map[string]string{"full": "", "delta": "?_HLS_skip=YES"} {
		b.Run("four hours "+name, func(b *testing.B) {
			f := newFeed(b, Config{})
			f.segment(7200)
			w := &discard{header: http.Header{}}
			r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, live+query, http.NoBody)
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				if n++; n%10 == 0 {
					f.finish("v0")
				}
				f.part("v0")
				f.h.ServeHTTP(w, r)
			}
		})
	}
}
