package archive

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// logged is how much of a log the store has.
type logged struct {
	lines int
	chunk []byte // the lines of its newest object
}

// appendTo makes lines durable behind those of a log.
func (m *Mirror) appendTo(ctx context.Context, log int, to logged, lines []logLine) (logged, error) {
	t := m.state.term
	to.chunk = bytes.Clone(to.chunk)
	changed := false
	put := func() error {
		changed = false
		return m.remote.Store.Put(ctx, chunkName(t.ID, t.Term, log, (to.lines-1)/chunkLines), to.chunk)
	}
	for _, l := range lines {
		line, err := formatLine(l)
		if err != nil {
			return to, err
		}
		to.chunk = append(to.chunk, line...)
		to.lines++
		changed = true
		if to.lines%chunkLines == 0 {
			if err := put(); err != nil {
				return to, err
			}
			to.chunk = nil
		}
	}
	if !changed {
		return to, nil
	}
	return to, put()
}

// appendLog makes the lines of a batch durable.
func (m *Mirror) appendLog(ctx context.Context, batch []item) error {
	var lines []logLine
	for _, i := range batch {
		if !i.thumbnail {
			lines = append(lines, logLine{Rendition: i.rendition, entry: i.entry})
		}
	}
	s := &m.state
	now, err := m.appendTo(ctx, s.term.Log, s.logged, lines)
	if err == nil {
		s.logged = now
	}
	return err
}

// longLog is how many lines a log has at least before it is written anew, and
// staleShare how many for each segment that there is still.
const longLog, staleShare = 32 * chunkLines, 4

// compact writes a log anew that is mostly about segments that are gone, with those
// of earlier terms, and then says so in the term. The log of before stays for those
// who read it just now; what is older goes.
func (m *Mirror) compact(ctx context.Context) error {
	s := &m.state
	if s.lines < max(s.again, longLog) {
		return nil
	}
	view, err := m.remote.look(ctx, s.term.ID, 0)
	if err != nil {
		return err
	}
	var lines []logLine
	for _, id := range slices.Sorted(maps.Keys(view.segments)) {
		for _, k := range view.segments[id] {
			l := logLine{Rendition: id, entry: entry{Segment: &k.Segment, CRC: k.crc}}
			if k.term != s.term.Term {
				l.Term = k.term
			}
			lines = append(lines, l)
		}
	}
	s.again = staleShare * len(lines)
	if s.lines < s.again {
		return nil
	}
	t := s.term
	t.Log, t.Before = t.Log+1, nil
	// An attempt that broke off may have left something there.
	if err := m.remote.Store.DeleteFolder(ctx, logsFolder(t.ID)+"/"+logName(t.Term, t.Log)); err != nil {
		return err
	}
	now, err := m.appendTo(ctx, t.Log, logged{}, lines)
	if err != nil {
		return err
	}
	if err := m.remote.check(ctx, t.ID, t.Term); err != nil {
		return err
	}
	if err := m.remote.putTerm(ctx, t); err != nil {
		return err
	}
	was := s.term
	s.term, s.logged, s.again = t, now, 0
	m.log.Info("the log of the recording is written anew", "lines", len(lines))
	return m.removeLogs(ctx, was)
}

// removeLogs takes the logs away that are older than those a term names.
func (m *Mirror) removeLogs(ctx context.Context, t Term) error {
	keep := map[string]bool{}
	for _, w := range append(slices.Clone(t.Before), Written{Term: t.Term, Log: t.Log}) {
		keep[logName(w.Term, w.Log)] = true
	}
	entries, err := m.remote.Store.List(ctx, logsFolder(t.ID))
	if err != nil {
		return err
	}
	for _, e := range entries {
		term, number, _ := strings.Cut(e.Name, ".")
		of, err := strconv.ParseUint(term, 10, 64)
		log, _ := strconv.Atoi(number)
		if err != nil || keep[e.Name] || of > t.Term || of == t.Term && log > t.Log {
			continue
		}
		if err := m.remote.Store.DeleteFolder(ctx, logsFolder(t.ID)+"/"+e.Name); err != nil {
			return err
		}
	}
	return nil
}
