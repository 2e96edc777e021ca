package node

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/auth"
)

// neighbourhood is a node whose neighbours all answer at one address.
func neighbourhood(t *testing.T, most int, answer http.HandlerFunc, carrying ...int) *neighbours {
	t.Helper()
	web := httptest.NewServer(answer)
	t.Cleanup(web.Close)
	tickets := auth.NewTickets("self")
	tickets.SetSecret(strings.Repeat("s", auth.MinSecret))
	nodes := []sluice.Node{{ID: "self", URL: web.URL, Load: sluice.NodeLoad{Streams: 9}}}
	for i, n := range carrying {
		nodes = append(nodes, sluice.Node{ID: fmt.Sprintf("n%d", i), URL: web.URL, Load: sluice.NodeLoad{Streams: n}})
	}
	o := &neighbours{
		self: "self", most: most, tickets: tickets, nodes: func(context.Context) []sluice.Node { return nodes },
		within: 20 * time.Second, client: withoutRedirects(web.Client().Transport), log: slog.New(slog.DiscardHandler),
	}
	o.ctx, o.cancel = context.WithCancel(context.Background())
	t.Cleanup(o.stop)
	return o
}

func answerOne(w http.ResponseWriter, _ *http.Request) {
	_, _ = w.Write([]byte(`{"items":[{"name":"demo"}],"nextCursor":""}`))
}

func TestNeighboursAreAskedOnceForMany(t *testing.T) {
	var asked atomic.Int64
	o := neighbourhood(t, 3, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		answerOne(w, r)
	}, 1, 5, 0, 2, 4)
	for range 10 {
		held, missing := o.Streams(t.Context())
		if len(held) != 3 || held[0].Node != "n1" || held[1].Node != "n4" || held[2].Node != "n3" || len(held[0].Streams) != 1 {
			t.Errorf("got %+v", held)
		}
		if !slices.Equal(missing, []string{"n0"}) {
			t.Errorf("missing %v", missing)
		}
	}
	if n := asked.Load(); n != 3 {
		t.Errorf("%d questions", n)
	}
	o.mu.Lock()
	o.last.until = time.Now().Add(-time.Second)
	o.mu.Unlock()
	o.Streams(t.Context())
	if n := asked.Load(); n != 6 {
		t.Errorf("%d questions when the answers are old", n)
	}
	o.stop()
	o.last = nil
	if held, missing := o.Streams(t.Context()); held != nil || missing != nil || asked.Load() != 6 {
		t.Error("a node that has stopped asks")
	}
}

// What is wrong with an answer is no reason to leave out the others'.
func TestBadAnswersOfNeighbours(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]http.HandlerFunc{
		"nothing in time": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"a refusal":       func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) },
		"a redirect":      func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusFound) },
		"no JSON":         func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) },
		"a bad name":      func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"items":[{"name":"a b"}]}`)) },
		"too much": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"items":[]}` + strings.Repeat(" ", streamsBytes)))
		},
		"too many": func(w http.ResponseWriter, _ *http.Request) {
			_ = json.NewEncoder(w).Encode(map[string]any{"items": slices.Repeat([]sluice.Stream{{Name: "demo"}}, streamsPage+1)})
		},
	} {
		t.Run(name, func(t *testing.T) {
			var first atomic.Bool
			o := neighbourhood(t, 64, func(w http.ResponseWriter, r *http.Request) {
				if first.CompareAndSwap(false, true) {
					answer(w, r)
				} else {
					answerOne(w, r)
				}
			}, 1, 1)
			if name == "nothing in time" {
				o.within = 2 * time.Second
			}
			held, missing := o.Streams(t.Context())
			if len(missing) != 1 || len(held) != 2 || len(held[0].Streams)+len(held[1].Streams) != 1 {
				t.Errorf("%+v, missing %v", held, missing)
			}
		})
	}
}

// A node that always says that there is more is asked for so many pages, and what
// it has told counts.
func TestEndlessAnswersOfNeighbours(t *testing.T) {
	var asked atomic.Int64
	o := neighbourhood(t, 64, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"items":[{"name":"s%d"}],"nextCursor":"x"}`, asked.Add(1))
	}, 1)
	held, missing := o.Streams(t.Context())
	if asked.Load() != streamsPages || len(missing) != 1 || len(held[0].Streams) != streamsPages {
		t.Errorf("%d questions, %+v, missing %v", asked.Load(), held, missing)
	}
}

// No more than so many nodes are asked at a time, and nobody waits longer for all
// of them than for one.
func TestNeighboursAskedSideBySide(t *testing.T) {
	var now, most atomic.Int64
	o := neighbourhood(t, 64, func(w http.ResponseWriter, r *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		most.Store(max(most.Load(), n))
		<-r.Context().Done()
	}, slices.Repeat([]int{1}, 3*streamsAtOnce)...)
	o.within = streamsTime
	began := time.Now()
	_, missing := o.Streams(t.Context())
	t.Logf("%d deaf nodes cost %v", len(missing), time.Since(began).Round(time.Millisecond))
	if len(missing) != 3*streamsAtOnce || most.Load() > streamsAtOnce {
		t.Errorf("%d of %d nodes are missing, %d were asked at once", len(missing), 3*streamsAtOnce, most.Load())
	}
}

func FuzzReadStreams(f *testing.F) {
	for _, seed := range []string{"", "{}", `{"items":null}`, `{"items":[{"name":"demo","viewers":1}],"nextCursor":"ZGVtbw"}`, `{"items":[{"name":""}]}`, `{"items":[[]]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		streams, _, err := readStreams(data)
		for _, s := range streams {
			if err != nil || sluice.CheckStreamName(s.Name) != nil {
				t.Errorf("%q, %v", s.Name, err)
			}
		}
	})
}
