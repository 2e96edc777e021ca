package sfu

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/sdp/v3"
	"go.uber.org/goleak"

	"github.com/sluice-live/sluice"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newTestSFU(t *testing.T, cfg Config) *SFU {
	t.Helper()
	s, _ := newToldSFU(t, cfg)
	return s
}

// ends is a log that keeps why sessions have ended.
type ends struct {
	mu  sync.Mutex
	all []string
}

func (e *ends) Enabled(context.Context, slog.Level) bool { return true }
func (e *ends) WithAttrs([]slog.Attr) slog.Handler       { return e }
func (e *ends) WithGroup(string) slog.Handler            { return e }
func (e *ends) Handle(_ context.Context, r slog.Record) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "reason" && r.Message == "session ended" {
			e.all = append(e.all, a.Value.String())
		}
		return true
	})
	return nil
}

// want fails the test unless so many sessions have ended, all for the same reason.
func (e *ends) want(t *testing.T, n int, reason string) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	if want := slices.Repeat([]string{reason}, n); !slices.Equal(e.all, want) {
		t.Errorf("sessions have ended by %q, want %d by %q", e.all, n, reason)
	}
}

// newToldSFU is an SFU that tells why sessions end.
func newToldSFU(t *testing.T, cfg Config) (*SFU, *ends) {
	t.Helper()
	told := &ends{}
	cfg.MediaAddr, cfg.Loopback = "127.0.0.1:0", true
	s, err := New(cfg, Deps{Log: slog.New(told)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, told
}

// clientOffers are recorded offers of real clients.
const clientOffers = "../internal/wish/testdata"

func TestAnswersToRealClients(t *testing.T) {
	files, err := filepath.Glob(clientOffers + "/*-offer.sdp")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d recorded offers, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			offer, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s := newTestSFU(t, Config{Wait: true, TCP: true})
			o := sluice.Offer{Stream: "demo", SDP: string(offer), Remote: netip.MustParseAddr("127.0.0.1")}
			want, answer := "recvonly", ""
			if strings.Contains(file, "whep") && !strings.Contains(file, "whip") {
				want = "sendonly"
				v, err := s.Watch(t.Context(), o)
				if err != nil {
					t.Fatal(err)
				}
				answer = v.Answer()
			} else {
				p, err := s.Publish(t.Context(), o)
				if err != nil {
					t.Fatal(err)
				}
				answer = p.Answer()
			}
			checkAnswer(t, string(offer), answer, want)
		})
	}
}

// TestAnswersAreOneWay: clients offer both ways too, or say nothing, which means the
// same.
func TestAnswersAreOneWay(t *testing.T) {
	s := newTestSFU(t, Config{Wait: true, TCP: true})
	for _, name := range []string{"chromium-156-whip-default-offer.sdp", "firefox-153esr-whip-default-offer.sdp", "chromium-156-whep-offer.sdp", "firefox-153esr-whep-offer.sdp"} {
		for _, line := range []string{"a=sendrecv\r\n", ""} {
			o, want := offerOf(t, name), "recvonly"
			o.SDP = strings.NewReplacer("a=sendrecv\r\n", "", "a=sendonly\r\n", line, "a=recvonly\r\n", line).Replace(o.SDP)
			answer := ""
			if strings.Contains(name, "whep") {
				want = "sendonly"
				v, err := s.Watch(t.Context(), o)
				if err != nil {
					t.Fatal(err)
				}
				answer = v.Answer()
				v.Close("answered")
			} else {
				p, err := s.Publish(t.Context(), o)
				if err != nil {
					t.Fatal(err)
				}
				answer = p.Answer()
				p.Close("answered")
			}
			if strings.Count(answer, "\r\na="+want+"\r\n") != 2 || strings.Contains(answer, "a=sendrecv") {
				t.Errorf("%s, %q: not %s:\n%s", name, line, want, answer)
			}
		}
	}
}

func checkAnswer(t *testing.T, offer, answer, direction string) {
	t.Helper()
	var asked, got sdp.SessionDescription
	if err := asked.UnmarshalString(offer); err != nil {
		t.Fatal(err)
	}
	if err := got.UnmarshalString(answer); err != nil {
		t.Fatal(err)
	}
	if len(got.MediaDescriptions) != len(asked.MediaDescriptions) {
		t.Fatalf("%d sections answered of %d", len(got.MediaDescriptions), len(asked.MediaDescriptions))
	}
	for i, m := range got.MediaDescriptions {
		o := asked.MediaDescriptions[i]
		if m.MediaName.Port.Value == 0 {
			t.Errorf("section %d is rejected", i)
		}
		if mid, _ := m.Attribute("mid"); mid != first(o.Attribute("mid")) {
			t.Errorf("section %d answers as mid %q", i, mid)
		}
		if m.MediaName.Media == "application" {
			continue
		}
		if _, ok := m.Attribute(direction); !ok {
			t.Errorf("section %d is not %s", i, direction)
		}
		checkSetup(t, first(o.Attribute("setup"))+first(asked.Attribute("setup")), first(m.Attribute("setup")))
		if _, ok := m.Attribute("rtcp-mux"); !ok {
			t.Errorf("section %d has no rtcp-mux", i)
		}
		_, offered := o.Attribute("rtcp-rsize")
		if _, answered := m.Attribute("rtcp-rsize"); answered && !offered {
			t.Errorf("section %d has rtcp-rsize, which was not offered", i)
		}
		if _, simulcast := o.Attribute("simulcast"); simulcast {
			if line, _ := m.Attribute("simulcast"); !strings.HasPrefix(line, "recv ") || strings.Count(line, ";") != 2 {
				t.Errorf("simulcast is answered with %q", line)
			}
		}
		checkRTX(t, o, m)
	}
	if !strings.Contains(answer, " udp ") || !strings.Contains(answer, " tcp ") {
		t.Error("the answer lacks UDP or TCP candidates")
	}
}

func first(s string, _ bool) string { return s }

func checkSetup(t *testing.T, offered, answered string) {
	t.Helper()
	want := map[string]string{"actpass": "passive", "active": "passive", "passive": "active"}[offered]
	if answered != want {
		t.Errorf("setup:%s is answered with %s, want %s", offered, answered, want)
	}
}

// checkRTX: retransmission and feedback are answered when offered and left out
// when not.
func checkRTX(t *testing.T, offered, answered *sdp.MediaDescription) {
	t.Helper()
	for _, feature := range []string{"rtx/90000", "nack", "nack pli", "transport-cc"} {
		if has(answered, feature) && !has(offered, feature) {
			t.Errorf("%q is answered though not offered", feature)
		}
	}
	if offered.MediaName.Media != "video" {
		return
	}
	for _, feature := range []string{"rtx/90000", "nack"} {
		if has(offered, feature) && !has(answered, feature) {
			t.Errorf("%q is offered and not answered", feature)
		}
	}
}

func has(m *sdp.MediaDescription, suffix string) bool {
	for _, a := range m.Attributes {
		if strings.HasSuffix(a.Value, " "+suffix) {
			return true
		}
	}
	return false
}

func offerOf(t *testing.T, name string) sluice.Offer {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(clientOffers, name))
	if err != nil {
		t.Fatal(err)
	}
	return sluice.Offer{Stream: "demo", SDP: string(b), Remote: netip.MustParseAddr("127.0.0.1")}
}

func TestOfflineStream(t *testing.T) {
	s := newTestSFU(t, Config{})
	_, err := s.Watch(t.Context(), offerOf(t, "chromium-156-whep-offer.sdp"))
	if sluice.CodeOf(err) != sluice.CodeStreamOffline {
		t.Fatalf("got %v", err)
	}
	if st, _ := s.Stream("demo"); st.State != sluice.StreamOffline {
		t.Errorf("state %q", st.State)
	}
}

func TestHalfOpenSessionsAreFreed(t *testing.T) {
	t.Parallel()
	s, told := newToldSFU(t, Config{Wait: true, HandshakeTimeout: 3 * time.Second, MaxPending: 20, MaxPendingPerIP: 15})
	o := offerOf(t, "chromium-156-whep-offer.sdp")
	codes := map[sluice.Code]int{}
	var sessions []*Viewer
	for i := range 25 {
		o.Remote = netip.AddrFrom4([4]byte{127, 0, 0, byte(1 + i/16)})
		v, err := s.Watch(t.Context(), o)
		codes[sluice.CodeOf(err)]++
		if err == nil {
			sessions = append(sessions, v)
		}
	}
	if codes[""] != 20 || codes[sluice.CodeTooManyRequests] != 1 || codes[sluice.CodeUnavailable] != 4 {
		t.Errorf("answers %v", codes)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for _, v := range sessions {
		select {
		case <-v.Done():
		case <-ctx.Done():
			t.Fatal("a half-open session was not freed")
		}
	}
	if c := s.Counters(); c.SessionsPending != 0 || c.ViewersNow != 0 || c.StreamsNow != 0 {
		t.Errorf("left behind: %+v", c)
	}
	told.want(t, len(sessions), "no connection within the handshake timeout")
}

func TestOwnDeadSessionIsReplaced(t *testing.T) {
	s := newTestSFU(t, Config{})
	o := offerOf(t, "obs-32.2.2-whip-offer.sdp")
	o.Grant.Identity = "alice"
	first, err := s.Publish(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	o.Grant.Identity = "bob"
	if _, err := s.Publish(t.Context(), o); sluice.CodeOf(err) != sluice.CodeStreamBusy {
		t.Errorf("another publisher: %v, want busy", err)
	}
	o.Grant.Identity = "alice"
	if _, err := s.Publish(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	select {
	case <-first.Done():
	default:
		t.Error("the first session runs on")
	}
	if c := s.Counters(); c.PublishersNow != 1 {
		t.Errorf("%d publishers", c.PublishersNow)
	}
}

func TestOneOfManyRacingPublishersWins(t *testing.T) {
	s := newTestSFU(t, Config{})
	o := offerOf(t, "obs-32.2.2-whip-offer.sdp")
	results := make(chan error)
	for i := range 10 {
		o := o
		o.Grant.Identity = string(rune('a' + i))
		go func() {
			_, err := s.Publish(t.Context(), o)
			results <- err
		}()
	}
	won := 0
	for range 10 {
		if err := <-results; err == nil {
			won++
		} else if sluice.CodeOf(err) != sluice.CodeStreamBusy {
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d publishers won", won)
	}
}
