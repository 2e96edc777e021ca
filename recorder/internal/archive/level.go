package archive

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"time"

	"github.com/sluice-live/sluice"
)

// lacking returns the gaps that have to follow the last segments of renditions so
// that all have the same discontinuities (RFC 8216 section 6.2.4): one that had
// nothing yet since the last of them, as of a transcoder that begins later than the
// rest, gets a gap for each segment that the rendition with most of them has since.
func lacking(all map[string][]sluice.Segment) map[string][]sluice.Segment {
	var from time.Time // older segments may have been taken away
	for _, list := range all {
		if len(list) > 0 && list[0].Start.After(from) {
			from = list[0].Start
		}
	}
	var lead []sluice.Segment
	most := -1
	for _, id := range slices.Sorted(maps.Keys(all)) {
		if n := len(breaksSince(all[id], from)); len(all[id]) > 0 && n > most {
			lead, most = all[id], n
		}
	}
	gaps := map[string][]sluice.Segment{}
	for id, list := range all {
		next, begin := sluice.Segment{Init: 1}, max(0, len(lead)-maxAhead)
		breaks := Breaks(list)
		if len(lead) > 0 {
			next.Sequence = lead[begin].Sequence // as Ahead would have it
		}
		if n := len(list); n > 0 {
			last := list[n-1]
			next = sluice.Segment{Sequence: last.Sequence + 1, Init: last.Init}
			missing := breaksSince(lead, from)[len(breaksSince(list, from)):]
			end := last.Start.Add(last.Duration)
			first := slices.IndexFunc(missing, func(i int) bool { return !lead[i].Start.Before(end) })
			if first < 0 {
				continue
			}
			begin = missing[first]
		}
		for _, s := range lead[max(begin, len(lead)-maxHoles):] {
			next.Gap, next.Start, next.Duration, next.Discontinuity = true, s.Start, s.Duration, s.Discontinuity
			if s.Discontinuity {
				breaks++
			}
			next.Breaks = max(breaks, s.Breaks)
			gaps[id] = append(gaps[id], next)
			next.Sequence++
		}
	}
	return gaps
}

// maxAhead bounds the gaps before the first media of a rendition.
const maxAhead = 10_000

// Ahead returns the gaps that stand before the media of a rendition which begins at a
// time, as all renditions cover the same time (RFC 8216 section 6.2.4): with the numbers,
// times and discontinuities of another's segments, of which the last may be growing. What
// is shorter than least has none of its own.
func Ahead(lead []sluice.Segment, at time.Time, least time.Duration) (gaps []sluice.Segment) {
	for _, s := range lead[max(0, len(lead)-maxAhead):] {
		left := at.Sub(s.Start)
		if left < least {
			break
		}
		growing := s.Duration == 0
		if whole := s.Duration.Round(time.Second); growing || left < s.Duration || left < s.Duration+least && left.Round(time.Second) <= whole {
			s.Duration = left
		}
		gaps = append(gaps, sluice.Segment{
			Sequence: s.Sequence, Init: 1, Start: s.Start, Duration: s.Duration, Discontinuity: s.Discontinuity, Breaks: s.Breaks, Gap: true,
		})
	}
	return gaps
}

// Breaks is the discontinuity sequence number of the last of some segments.
func Breaks(list []sluice.Segment) uint64 {
	if len(list) == 0 {
		return 0
	}
	known := list[len(list)-1].Breaks
	if known > 0 {
		return known
	}
	return uint64(len(breaksSince(list, time.Time{}))) // written before numbers were
}

// breaksSince returns the indexes of segments with a discontinuity that begin after
// a time.
func breaksSince(list []sluice.Segment, from time.Time) (at []int) {
	for i, s := range list {
		if s.Discontinuity && s.Start.After(from) {
			at = append(at, i)
		}
	}
	return at
}

// level puts what is lacking into the indexes.
func (a *Archive) level(rec string, all map[string][]sluice.Segment) error {
	for id, gaps := range lacking(all) {
		if err := a.follow(rec, id, gaps); err != nil {
			return fmt.Errorf("recover %s of recording %s: %w", id, rec, err)
		}
		all[id] = append(all[id], gaps...)
	}
	return nil
}

// follow puts gaps behind the last segment of an index.
func (a *Archive) follow(rec, rendition string, gaps []sluice.Segment) (err error) {
	_, good, err := a.index(rec, rendition)
	if err != nil {
		return err
	}
	log, err := a.Store.Append(path.Join(rec, rendition, "index"), good)
	if err != nil {
		return err
	}
	for i := range gaps {
		if err == nil {
			err = appendEntry(log, entry{Segment: &gaps[i]})
		}
	}
	return errors.Join(err, log.Sync(), log.Close())
}
