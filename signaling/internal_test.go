package signaling

import (
	"context"
	"encoding/json"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-live/sluice"
)

func FuzzDecodeNode(f *testing.F) {
	record, err := json.Marshal(Node{ID: "a", Region: "eu", URL: "https://a", Roles: []string{"all"}, Step: sluice.StepHLS, CPUs: 2, Started: time.Unix(1, 0)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("5", string(record))
	f.Add("", "")
	f.Add("-1", `{"id":"a b"}`)
	f.Add("1", `{"id":"a","overload":"later","load":{"cpu":1e308}}`)
	f.Fuzz(func(t *testing.T, age, record string) {
		n, err := decodeNode(age, record)
		if err != nil {
			return
		}
		if checkNodeID(n.ID) != nil || n.Age < 0 || n.Step < sluice.StepNone || n.Step > sluice.StepRefuse || n.Roles == nil {
			t.Errorf("node %+v", n)
		}
	})
}

func FuzzReadCensus(f *testing.F) {
	f.Add("eu", `1000 {"nodes":2,"load":{"viewers":7}}`)
	f.Add("", "")
	f.Add("eu", "99999999999999999999 {}")
	f.Fuzz(func(t *testing.T, region, row string) {
		for name := range readCensus(map[string]string{region: row}, time.UnixMilli(1500), time.Second) {
			if name != region {
				t.Errorf("region %q became %q", region, name)
			}
		}
	})
}

func FuzzParseOrder(f *testing.F) {
	f.Add("serve")
	f.Add("60000")
	f.Add("-1")
	f.Fuzz(func(t *testing.T, text string) {
		o, ok := parseOrder(text)
		if ok && (o.Over < 0 || !o.Drain && text != "serve") {
			t.Errorf("%q is the order %+v", text, o)
		}
	})
}

func FuzzParseVerdict(f *testing.F) {
	f.Add("1", "a", "7", "")
	f.Add("0", "b", "18446744073709551616", "-1")
	f.Add("0", "b", "9", "3000")
	f.Fuzz(func(t *testing.T, mine, owner, gen, left string) {
		v, err := parseVerdict([]string{mine, owner, gen, left})
		if err == nil && (v.mine != (mine == "1") || v.owner != owner || v.left < 0) {
			t.Errorf("verdict %+v", v)
		}
	})
}

func FuzzBearer(f *testing.F) {
	f.Add("Bearer abc")
	f.Add("bearer  a b ")
	f.Add("Basic x")
	f.Fuzz(func(t *testing.T, header string) {
		token, err := bearerOf(header)
		if err == nil && len(token) > len(header) {
			t.Errorf("%q gives %q", header, token)
		}
	})
}

// Redis is not away when it was this process that stood still.
func TestStallIsNotAMissingRedis(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &Registry{log: slog.New(slog.DiscardHandler)}
		calls := 0
		stalled := func(stall time.Duration) func(context.Context) error {
			return func(ctx context.Context) error {
				if calls++; calls > 1 {
					return nil
				}
				<-ctx.Done()
				time.Sleep(stall)
				return ctx.Err()
			}
		}
		if err := r.try(t.Context(), "ask", stalled(time.Second)); err != nil || calls != 2 || r.Err() != nil {
			t.Errorf("after a stall: %v, %d calls, %v", err, calls, r.Err())
		}
		calls = 0
		if err := r.try(t.Context(), "ask", stalled(0)); sluice.CodeOf(err) != sluice.CodeUnavailable || calls != 1 || r.Err() == nil {
			t.Errorf("without an answer: %v, %d calls, %v", err, calls, r.Err())
		}
	})
}
