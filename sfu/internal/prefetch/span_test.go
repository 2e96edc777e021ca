package prefetch

import "testing"

func TestFetchChangesNothing(t *testing.T) {
	var values [1000]byte
	for i := range values {
		values[i] = byte(i)
	}
	whole := values
	for _, s := range []Span{{}, Of[int](nil), Of(&values), Of(&values[63]), Of(&values[64]), Of(&values[999]), Of(&struct{}{})} {
		s.Fetch()
	}
	if values != whole {
		t.Error("memory has changed")
	}
	if n := testing.AllocsPerRun(100, func() { Of(&values).Fetch() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkFetch(b *testing.B) {
	var values [512]byte
	for b.Loop() {
		Of(&values).Fetch()
	}
}
