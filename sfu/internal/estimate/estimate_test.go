package estimate

import (
	"math"
	"testing"
	"time"
	"unsafe"

	"github.com/pion/rtcp"
)

// sane fails when the state is not within its bounds.
func sane(t testing.TB, e *Estimator, c Config) {
	t.Helper()
	c = c.withDefaults()
	s := e.State()
	if s.Bitrate < c.Min || s.Bitrate > c.Max || s.Received < 0 || s.Queue < 0 || !(s.Loss >= 0 && s.Loss <= 1) {
		t.Fatalf("state out of bounds: %+v", s)
	}
	if math.IsNaN(e.target) || math.IsNaN(e.control.capacity) || math.IsNaN(e.trend.threshold) {
		t.Fatalf("not a number: %+v", s)
	}
}

func TestConfigDefaults(t *testing.T) {
	for _, c := range []struct {
		name string
		in   Config
		want Config
	}{
		{"zero", Config{}, Config{Min: 50_000, Max: 50_000_000, Start: 1_000_000}},
		{"start below min", Config{Min: 2e6}, Config{Min: 2_000_000, Max: 50_000_000, Start: 2_000_000}},
		{"start above max", Config{Max: 500e3}, Config{Min: 50_000, Max: 500_000, Start: 500_000}},
		{"max below min", Config{Min: 100e3, Max: 10e3}, Config{Min: 100_000, Max: 100_000, Start: 100_000}},
	} {
		if got := c.in.withDefaults(); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
	if s := New(Config{}).State(); s.Bitrate != 1_000_000 || s.Source != "none" {
		t.Errorf("a new estimator: %+v", s)
	}
}

func TestREMB(t *testing.T) {
	for _, c := range []struct {
		name string
		bps  float64
		want int
	}{
		{"plain", 2e6, 2_000_000},
		{"2^63", 1 << 63, 50_000_000},
		{"infinite", math.Inf(1), 50_000_000},
		{"negative", -5, 50_000},
		{"minus infinite", math.Inf(-1), 50_000},
		{"zero", 0, 50_000},
		{"not a number", math.NaN(), 1_000_000},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := New(Config{})
			e.REMB(c.bps, int64(time.Second))
			if s := e.State(); s.Bitrate != c.want {
				t.Errorf("%+v, want %d", s, c.want)
			}
			if math.IsNaN(c.bps) {
				return
			}
			e.Report(Reception{}, int64(time.Second)+1)
			if s := e.State(); s.Source != "remb" || s.Bitrate != c.want {
				t.Errorf("after a report without loss: %+v, want the same", s)
			}
			e.REMB(math.NaN(), int64(time.Second)+2)
			e.Report(Reception{}, int64(time.Second)+3)
			if s := e.State(); s.Source != "remb" || s.Bitrate != c.want {
				t.Errorf("after what is no number: %+v, want the same", s)
			}
		})
	}
}

func TestREMBAndReports(t *testing.T) {
	e := New(Config{})
	now := int64(time.Second)
	e.REMB(3e6, now)
	e.Report(Reception{Loss: 0.01, RTT: int64(40 * time.Millisecond)}, now)
	if s := e.State(); s.Bitrate != 3_000_000 || s.Source != "remb" {
		t.Errorf("after a REMB and a good report: %+v", s)
	}
	e.Report(Reception{Loss: 0.30, RTT: int64(40 * time.Millisecond)}, now+int64(time.Second))
	if s := e.State(); s.Bitrate != 2_550_000 || !s.Overuse || s.Loss != 0.30 {
		t.Errorf("after 30 %% loss: %+v", s)
	}
	e.REMB(3e6, now+int64(1100*time.Millisecond))
	if s := e.State(); s.Bitrate != 2_550_000 {
		t.Errorf("the REMB undid what loss had cut: %+v", s)
	}
	for i := range 30 {
		e.REMB(3e6, now+int64(time.Duration(2+i)*time.Second))
		e.Report(Reception{}, now+int64(time.Duration(2+i)*time.Second))
	}
	if s := e.State(); s.Bitrate != 3_000_000 {
		t.Errorf("after 30 good seconds: %+v", s)
	}
}

// TestReportsAlone is a viewer that sends receiver reports only.
func TestReportsAlone(t *testing.T) {
	e := New(Config{})
	now := int64(time.Second)
	report := func(n int, loss float64, rtt time.Duration) State {
		for range n {
			now += int64(time.Second)
			e.Report(Reception{Loss: loss, RTT: int64(rtt)}, now)
			sane(t, e, Config{})
		}
		return e.State()
	}
	const near = 40 * time.Millisecond
	if s := report(20, 0, near); s.Source != "loss" || s.Bitrate < 2_000_000 || s.Bitrate > 8_000_000 {
		t.Fatalf("20 s without loss: %+v", s)
	}
	before := e.State().Bitrate
	if s := report(20, 0.05, near); s.Bitrate != before || s.Overuse {
		t.Errorf("5 %% loss: %+v, before %d", s, before)
	}
	if s := report(3, 0.20, near); s.Bitrate > before*3/4 || !s.Overuse {
		t.Errorf("20 %% loss: %+v, before %d", s, before)
	}
	before = e.State().Bitrate
	if s := report(3, 0, 400*time.Millisecond); s.Bitrate >= before || s.Queue < 300*time.Millisecond {
		t.Errorf("a long queue: %+v, before %d", s, before)
	}
	if s := report(60, 0, near); s.Bitrate < before {
		t.Errorf("60 good seconds: %+v, before %d", s, before)
	}
	report(3, math.NaN(), -1)
	report(3, math.Inf(1), math.MaxInt64)
	report(3, -1, math.MinInt64)
}

// TestNothingIsKnownOfWhatWasNotSent: good reports about a small layer do not say
// that a large one fits where padding can find that out.
func TestNothingIsKnownOfWhatWasNotSent(t *testing.T) {
	for _, pads := range []bool{true, false} {
		e := New(Config{Start: 2_000_000, Pads: pads})
		for second := range int64(120) {
			e.Report(Reception{RTT: int64(40 * time.Millisecond), Sent: 300_000}, second*int64(time.Second))
		}
		if got := e.State().Bitrate; pads != (got == 2_000_000) {
			t.Errorf("padding %t: %d after two minutes of 300 kbit/s", pads, got)
		}
	}
}

// TestReportsKnowWhatWasSent: loss says at once what the path carries, and half a
// minute later twice as much is tried.
func TestReportsKnowWhatWasSent(t *testing.T) {
	e := New(Config{Start: 4_000_000})
	now := int64(time.Second)
	report := func(loss float64, rtt time.Duration, sent int) int {
		now += int64(time.Second)
		e.Report(Reception{Loss: loss, RTT: int64(rtt), Sent: sent}, now)
		return e.State().Bitrate
	}
	const near = 40 * time.Millisecond
	report(0, near, 2_500_000)
	if got := report(0.5, near, 2_500_000); got < 1_100_000 || got > 1_250_000 {
		t.Errorf("half of 2.5 Mbit/s is lost: %d", got)
	}
	if got := report(0.3, near, 2_500_000); got < 1_000_000 {
		t.Errorf("the next report is still about the time before: %d", got)
	}
	for range 5 {
		report(0, near, 600_000)
	}
	if got := report(0, 400*time.Millisecond, 600_000); got < 1_000_000 {
		t.Errorf("one late report: %d", got)
	}
	low := report(0, 400*time.Millisecond, 600_000)
	if low < 450_000 || low > 550_000 {
		t.Errorf("a long queue of 600 kbit/s: %d", low)
	}
	for range 30 {
		report(0, near, 200_000)
	}
	if got := e.State().Bitrate; got < 2*low {
		t.Errorf("after 30 good seconds: %d, before %d", got, low)
	}
}

// TestFallbackAndBack is a viewer whose transport-wide feedback ends, and comes
// back later.
func TestFallbackAndBack(t *testing.T) {
	w := newWorld(t, free(), 2)
	w.run(2*time.Second, nil)
	before := w.e.State()
	w.e.REMB(100e3, w.now*nanos)
	w.e.Report(Reception{Loss: 0.5}, w.now*nanos)
	if s := w.e.State(); s != before {
		t.Errorf("other reports beside transport-wide ones: %+v, before %+v", s, before)
	}
	w.deaf = true
	w.run(6*time.Second, nil)
	w.e.REMB(700e3, w.now*nanos)
	if s := w.e.State(); s.Bitrate != 700_000 || s.Source != "remb" {
		t.Errorf("REMB after 6 s: %+v", s)
	}
	w.deaf, w.probing = false, true
	w.run(5*time.Second, nil)
	if s := w.e.State(); s.Bitrate < 2_500_000 || s.Source != "transport-cc" {
		t.Errorf("transport-wide feedback is back: %+v", s)
	}
}

// TestShallowQueue is a link, or a policer, that drops rather than queues.
func TestShallowQueue(t *testing.T) {
	for _, rate := range []float64{1.2e6, 600e3} {
		l := free()
		l.limit = 40 * millisecond
		w := newWorld(t, l, 4)
		w.probing, w.patience = true, 300*millisecond
		w.run(5*time.Second, nil)
		w.link.rate = rate
		w.run(3*time.Second, nil)
		w.run(20*time.Second, func(_ time.Duration, s State) {
			if float64(s.Bitrate) > 1.6*rate || s.Bitrate < 150_000 {
				t.Fatalf("%.0f: %+v", rate, s)
			}
		})
	}
}

// TestSteadyStateDoesNotAllocate covers the calls on the packet path.
func TestSteadyStateDoesNotAllocate(t *testing.T) {
	e, step := steady(t)
	for range 200 {
		step()
	}
	if n := testing.AllocsPerRun(1000, step); n != 0 {
		t.Errorf("%v allocations for 20 packets and a report", n)
	}
	if s := e.State(); s.Source != "transport-cc" || s.Overuse {
		t.Errorf("state %+v", s)
	}
}

// steady returns an estimator and a function that sends 20 packets and reports
// them 50 ms later.
func steady(t testing.TB) (*Estimator, func()) {
	e := New(Config{})
	fb := twenty(t)
	now := int64(time.Second)
	return e, func() {
		fb.BaseSequenceNumber += 20
		fb.FbPktCount++
		for i := range uint16(20) {
			e.Sent(fb.BaseSequenceNumber+i, 1200, now+int64(i)*2_500_000, false)
		}
		now += 50_000_000
		if fb.FbPktCount%32 == 0 {
			fb.ReferenceTime += 25 // 25 * 64 ms in 32 reports of 50 ms
		}
		fb.RecvDeltas[0].Delta = int64(fb.FbPktCount%32) * 50_000
		e.Feedback(fb, now)
	}
}

// twenty is a report of 20 packets, 2.5 ms apart.
func twenty(t testing.TB) *rtcp.TransportLayerCC {
	var at []arrival
	for i := range int64(20) {
		at = append(at, arrival{seq: 1000 + i, at: i * 2500})
	}
	first := int64(1000)
	return report(t, at, &first, 0)
}

func TestSizeOfAnEstimator(t *testing.T) {
	size := unsafe.Sizeof(Estimator{}) + unsafe.Sizeof(history{})
	t.Logf("%d bytes, %d without history", size, unsafe.Sizeof(Estimator{}))
	if size > 20<<10 {
		t.Errorf("an estimator takes %d bytes", size)
	}
}

func BenchmarkSent(b *testing.B) {
	e := New(Config{})
	var seq uint16
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		seq++
		e.Sent(seq, 1200, 1, false)
	}
}

func BenchmarkSentAndFeedbackOf20(b *testing.B) {
	_, step := steady(b)
	b.ReportAllocs()
	for b.Loop() {
		step()
	}
}

func BenchmarkState(b *testing.B) {
	e, step := steady(b)
	for range 100 {
		step()
	}
	b.ReportAllocs()
	for b.Loop() {
		_ = e.State()
	}
}
