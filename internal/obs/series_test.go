package obs_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sluice-live/sluice/internal/obs"
)

func TestGaugesFunc(t *testing.T) {
	r := obs.NewRegistry("v1", "abc")
	values := map[string]float64{"one": 1, "two": 2}
	if err := r.GaugesFunc("sluice_test_viewers", "Viewers.", "stream", func() map[string]float64 { return values }); err != nil {
		t.Fatal(err)
	}
	if err := r.GaugesFunc("other_viewers", "Viewers.", "stream", nil); err == nil {
		t.Error("a name without the prefix is accepted")
	}
	scrape := func() string {
		w := httptest.NewRecorder()
		r.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		return w.Body.String()
	}
	for _, want := range []string{`sluice_test_viewers{stream="one"} 1`, `sluice_test_viewers{stream="two"} 2`} {
		if got := scrape(); !strings.Contains(got, want) {
			t.Errorf("%s is missing in\n%s", want, got)
		}
	}
	delete(values, "one")
	if got := scrape(); strings.Contains(got, `stream="one"`) {
		t.Error("a series outlives its entry")
	}
}
