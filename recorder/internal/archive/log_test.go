package archive

import (
	"log/slog"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/blob"
)

// gapAt is a segment without media.
func gapAt(seq uint64) sluice.Segment {
	return sluice.Segment{Sequence: seq, Init: 1, Gap: true, Start: time.Unix(int64(2*seq), 0).UTC(), Duration: 2 * time.Second}
}

// TestEndlessLog: the log of a show without an end, whose old segments go, does not
// grow; who has read some of it, who comes later, and the node that takes over see
// what there is.
func TestEndlessLog(t *testing.T) {
	t.Parallel()
	const window, end = 100, 2 * longLog
	store, err := blob.OpenShared("file://" + filepath.ToSlash(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	first, reader := NewRemote(store), NewRemote(store)
	begun := aTerm(1)
	begun.Before = nil
	mirror := func(r *Remote, term Term, past *View) *Mirror {
		return &Mirror{
			remote: r, local: &Archive{Store: blob.NewMemory(1 << 20)}, spool: &Spool{Limit: 1 << 30}, log: slog.New(slog.DiscardHandler),
			state: mirrored{term: term, past: past, known: past != nil, inits: map[string]bool{}, kept: map[string][]sluice.Segment{}},
		}
	}
	m := mirror(first, begun, nil)
	var batch []item
	send := func() {
		if err := m.send(t.Context(), batch, nil); err != nil {
			t.Fatal(err)
		}
		batch = nil
	}
	at := func(r *Remote, from, to uint64) {
		t.Helper()
		view, err := r.look(t.Context(), "rec", 0)
		if err != nil {
			t.Fatal(err)
		}
		if list := view.Segments()["v"]; len(list) == 0 || list[0].Sequence != from || list[len(list)-1].Sequence != to {
			t.Fatalf("%d segments, want %d to %d", len(list), from, to)
		}
	}
	chunks, most := 0, 0
	for n := range uint64(end) {
		seg := gapAt(n)
		batch = append(batch, item{rendition: "v", entry: entry{Segment: &seg}})
		if n >= window && n%10 == 0 {
			batch = append(batch, item{rendition: "v", entry: entry{Removed: n - window + 1}, from: n - window - 9})
		}
		if n == 5 { // this one stays: nothing follows it in its rendition
			batch = append(batch, item{rendition: "over", entry: entry{Segment: &seg}})
		}
		switch {
		case n == end/2: // another node goes on
			send()
			at(first, n-n%10-window+1, n)
			term, past, err := reader.Succeed(t.Context(), "rec", 2)
			if err != nil {
				t.Fatal(err)
			}
			m = mirror(NewRemote(store), term, past)
		case n%500 == 499 || n == end-1:
			send()
		}
		if n%4000 == 3999 {
			send()
			at(reader, n-n%10-window+1, n)
			folders, err := store.List(t.Context(), logsFolder("rec"))
			if err != nil {
				t.Fatal(err)
			}
			chunks = 0
			for _, f := range folders {
				all, err := store.List(t.Context(), logsFolder("rec")+"/"+f.Name)
				if err != nil {
					t.Fatal(err)
				}
				chunks += len(all)
			}
			most = max(most, chunks)
		}
	}
	if limit := 3 * (longLog/chunkLines + 2); most > limit {
		t.Errorf("up to %d objects with %d lines each, want at most %d", most, chunkLines, limit)
	}
	late := NewRemote(store)
	at(late, end-1-(end-1)%10-window+1, end-1)
	view, err := late.View(t.Context(), "rec")
	if err != nil {
		t.Fatal(err)
	}
	if k, ok := view.find("over", 5); !ok || k.term != 1 {
		t.Errorf("what the first node has written last of a rendition: %+v, %v", k, ok)
	}
	if len(view.Term.Before) != 0 || view.Term.Log == 0 {
		t.Errorf("the term is %+v", view.Term)
	}
}

// TestEndlessIndex: the same on a disk.
func TestEndlessIndex(t *testing.T) {
	t.Parallel()
	const window, end = 50, 3 * longIndex
	a := &Archive{Store: blob.NewMemory(64 << 20)}
	limits := Limits{Queue: 1 << 20, Space: func() error { return nil }, Done: func(Outcome) {}}
	var removed uint64
	for from := uint64(0); from < end; from += end / 3 { // three processes
		w := a.NewWriter("rec", limits, slog.New(slog.DiscardHandler))
		for n := from; n < from+end/3; n++ {
			s := gapAt(n)
			w.finish(job{rendition: "v", seq: n, segment: &s})
			if n%10 == 0 && n > window {
				if err := w.remove("v", removed, n-window); err != nil {
					t.Fatal(err)
				}
				removed = n - window
			}
		}
		w.Close()
		list, good, err := a.index("rec", "v")
		if err != nil || list[0].Sequence != removed || list[len(list)-1].Sequence != from+end/3-1 {
			t.Fatalf("%d segments from %s on, %v", len(list), strconv.FormatUint(list[0].Sequence, 10), err)
		}
		if limit := int64((longIndex + longIndex/10 + 3*window) * 250); good > limit {
			t.Errorf("the index has %d bytes, want at most %d", good, limit)
		}
	}
}
