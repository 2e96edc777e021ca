package archive

import (
	"fmt"
	"path"
	"time"

	"github.com/sluice-live/sluice"
)

// shortestSegment is how short the segments of a node that died may have been, as a
// share of the nominal length; clockSlack how far its clock may have been ahead.
const (
	shortestSegment = 4
	clockSlack      = 2 * time.Second
)

// Inherit puts a recording of another node on the disk, so that it goes on here at
// a time: its index, with gaps in the place of all numbers that players may have
// seen there and that the store does not have.
func (a *Archive) Inherit(t Term, view *View, at time.Time, segment time.Duration) (map[string][]sluice.Segment, []Outcome, error) {
	if err := a.Store.Remove(t.ID); err != nil {
		return nil, nil, err
	}
	var end time.Time
	for _, list := range view.segments {
		if n := len(list); n > 0 && list[n-1].Start.Add(list[n-1].Duration).After(end) {
			end = list[n-1].Start.Add(list[n-1].Duration)
		}
	}
	gaps := 0
	if !view.Term.Closed && !end.IsZero() {
		gaps = int((max(0, at.Sub(end))+clockSlack)*shortestSegment/segment) + 1
	}
	until := at
	if least := end.Add(time.Duration(gaps) * shortestGap); until.Before(least) {
		until = least
	}
	all, added, known := map[string][]sluice.Segment{}, []Outcome{}, view.Segments()
	for _, r := range t.Renditions {
		if _, ok := known[r.ID]; !ok {
			known[r.ID] = nil // announced, and the store has nothing of it: players may have seen parts
		}
	}
	lacks := lacking(known)
	for id := range known {
		var index []byte
		write := func(e entry) error {
			line, err := formatLine(e)
			index = append(index, line...)
			all[id] = append(all[id], *e.Segment)
			return err
		}
		for _, k := range view.segments[id] {
			if err := write(entry{Segment: &k.Segment, CRC: k.crc}); err != nil {
				return nil, nil, err
			}
		}
		for _, gap := range lacks[id] {
			if err := write(entry{Segment: &gap}); err != nil {
				return nil, nil, err
			}
			added = append(added, Outcome{Rendition: id, Segment: gap})
		}
		for n := range gaps { // there are some only where a rendition has segments, and then all have
			last := all[id][len(all[id])-1]
			start := last.Start.Add(last.Duration)
			gap := sluice.Segment{Sequence: last.Sequence + 1, Init: last.Init, Breaks: last.Breaks, Gap: true, Start: start, Duration: max(until.Sub(start)/time.Duration(gaps-n), shortestGap)}
			if err := write(entry{Segment: &gap}); err != nil {
				return nil, nil, err
			}
			added = append(added, Outcome{Rendition: id, Segment: gap})
		}
		if err := a.Store.WriteFile(path.Join(t.ID, id, "index"), index); err != nil {
			return nil, nil, fmt.Errorf("inherit recording %s: %w", t.ID, err)
		}
	}
	return all, added, a.PutMeta(t.Meta)
}
