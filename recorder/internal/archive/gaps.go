package archive

import "github.com/sluice-live/sluice"

// Gaps finishes segments that have no media, all at once.
func (w *Writer) Gaps(rendition string, gaps []sluice.Segment) bool {
	return w.put(job{rendition: rendition, gaps: gaps})
}

// finishGaps puts segments without media into the index.
func (w *Writer) finishGaps(j job) {
	o := w.open(j.rendition)
	last := len(j.gaps) - 1
	for i := range last {
		if line, err := formatLine(entry{Segment: &j.gaps[i]}); err == nil && len(o.pending) < maxPending {
			o.pending = append(o.pending, line)
		}
	}
	o.until = j.gaps[last].Start.Add(j.gaps[last].Duration)
	err := w.appendLine(j.rendition, o, entry{Segment: &j.gaps[last]})
	if err != nil {
		w.use(j.rendition, o, j.gaps[last].Sequence)
	}
	for _, s := range j.gaps {
		w.limits.Done(Outcome{j.rendition, s, 0, err})
	}
}
