package e2e

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/hlscheck"
)

// killing is what TestKilled knows of its streams from kill to kill.
type killing struct {
	data   string
	binary string
	http   *http.Client
	shows  map[string]*killedShow // by stream

	lost      []time.Duration // from the end of a rendition to the kill
	parts     int             // that were listed and are lost, of all renditions
	mostParts int             // of one rendition in one kill
	rounds    int
}

// killedShow is one recording.
type killedShow struct {
	kept
	writing map[string]int              // parts of the segment that was being written, by rendition
	known   map[string]int              // segments when the node was last started, by rendition
	listed  map[string]hlscheck.Segment // the growing segment, as last listed
	rules   map[string]*hlscheck.History
	at      time.Time // of the kill
}

func (k *killing) get(t *testing.T, url string) string {
	t.Helper()
	answer, err := k.http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", url, answer.Status, err)
	}
	return string(body)
}

// recording reports whether every rendition grows again.
func (k *killing) recording(t *testing.T) bool {
	t.Helper()
	all := recorded(t, k.data)
	for _, r := range all {
		known := map[string]int{}
		if s := k.shows[r.Stream]; s != nil {
			known = s.known
		}
		if len(r.Renditions) < map[string]int{"one": 3, "three": 5}[r.Stream] {
			return false // those and AAC
		}
		for _, rendition := range r.Renditions {
			if len(r.Segments[rendition.ID]) <= known[rendition.ID] && growing(r, rendition.ID) == 0 {
				return false
			}
		}
	}
	return len(all) == 2
}

// look reads the playlists of the running node.
func (k *killing) look(t *testing.T, n *killed) {
	t.Helper()
	for _, r := range recorded(t, k.data) {
		s := k.shows[r.Stream]
		if s == nil {
			s = &killedShow{rules: map[string]*hlscheck.History{}}
			k.shows[r.Stream] = s
		}
		s.listed = map[string]hlscheck.Segment{}
		for _, rendition := range r.Renditions {
			p, err := hlscheck.Parse(k.get(t, n.url+"/hls/"+r.Stream+"/"+r.ID+"/"+rendition.ID+"/index.m3u8"))
			if err != nil {
				t.Fatal(err)
			}
			if s.rules[rendition.ID] == nil {
				s.rules[rendition.ID] = hlscheck.NewHistory(func(rule, detail string) {
					notThere := strings.Contains(detail, " after the one before it")
					cutShort := strings.Contains(detail, "r.m4s") // under a name of its own
					if !notThere && !cutShort {
						t.Errorf("round %d: %s: %s: section %s: %s", k.rounds, r.Stream, rendition.ID, rule, detail)
					}
				})
			}
			s.rules[rendition.ID].Take(p, time.Now())
			s.listed[rendition.ID] = p.Growing
		}
	}
}

// killed notes what the killed node has left.
func (k *killing) killed(t *testing.T, at time.Time) {
	t.Helper()
	for _, now := range recorded(t, k.data) {
		s := k.shows[now.Stream]
		for id, was := range s.Segments {
			if is := now.Segments[id]; len(is) < len(was) || !slices.EqualFunc(was, is[:len(was)], sameSegment) {
				t.Fatalf("round %d: %s: %s: finished segments are lost or changed", k.rounds, s.Stream, id)
			}
		}
		s.kept, s.at, s.writing = now, at, map[string]int{}
		for _, r := range now.Renditions {
			s.writing[r.ID] = now.written(t, r.ID)
		}
	}
	k.rounds++
}

// repaired looks at what the next start has made of it.
func (k *killing) repaired(t *testing.T, n *killed) {
	t.Helper()
	all := recorded(t, k.data)
	if len(all) != len(k.shows) {
		t.Fatalf("round %d: %d recordings of %d streams", k.rounds, len(all), len(k.shows))
	}
	for _, now := range all {
		s := k.shows[now.Stream]
		for _, r := range now.Renditions {
			k.same(t, s, now, r)
			p, err := hlscheck.Parse(k.get(t, n.url+"/vod/"+now.ID+"/"+r.ID+"/index.m3u8"))
			if err != nil || len(p.Segments) != len(now.Segments[r.ID]) {
				t.Errorf("round %d: %s: %s: a playlist of %d segments, %d are there: %v", k.rounds, now.Stream, r.ID, len(p.Segments), len(now.Segments[r.ID]), err)
			}
		}
		s.known = map[string]int{}
		for id, list := range now.Segments {
			s.known[id] = len(list)
		}
		s.kept = now
	}
}

// same checks one rendition: what was finished, then what was being written.
func (k *killing) same(t *testing.T, s *killedShow, now kept, r sluice.Rendition) {
	t.Helper()
	was, is := s.Segments[r.ID], now.Segments[r.ID]
	if len(is) < len(was) || len(is) > len(was)+2 || !slices.EqualFunc(was, is[:len(was)], sameSegment) {
		t.Fatalf("round %d: %s: %s: %d segments were finished, %d are there", k.rounds, s.Stream, r.ID, len(was), len(is))
	}
	whole := 0 // parts that are there of what was being written
	for _, segment := range is[len(was):] {
		whole += media(segment)
	}
	if whole < s.writing[r.ID] {
		t.Errorf("round %d: %s: %s: %d parts were written, %d are there", k.rounds, s.Stream, r.ID, s.writing[r.ID], whole)
	}
	first := s.known[r.ID]
	if first > 0 && first < len(is) && !is[first].Discontinuity {
		t.Errorf("round %d: %s: %s: no discontinuity after the restart", k.rounds, s.Stream, r.ID)
	}
	listed, missing := s.listed[r.ID], 0
	for _, p := range listed.Parts {
		if !p.Gap {
			missing++
		}
	}
	for _, segment := range is {
		if segment.Sequence == listed.Sequence {
			missing -= media(segment)
		}
	}
	if missing > 0 {
		k.parts += missing
		k.mostParts = max(k.mostParts, missing)
	}
	if missing > 1 {
		t.Errorf("round %d: %s: %s: %d listed parts of segment %d are lost", k.rounds, s.Stream, r.ID, missing, listed.Sequence)
	}
	for i := len(is) - 1; i >= 0; i-- {
		if !is[i].Gap {
			k.lost = append(k.lost, s.at.Sub(is[i].Start.Add(is[i].Duration)))
			break
		}
	}
}

// media counts the parts of a segment that have media.
func media(s sluice.Segment) (n int) {
	for _, p := range s.Parts {
		if !p.Gap {
			n++
		}
	}
	return n
}
