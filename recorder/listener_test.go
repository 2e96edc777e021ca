package recorder

import (
	"fmt"
	"sync"

	"github.com/sluice-live/sluice"
)

var _ Sink = (*listener)(nil)

// listener is a Sink that keeps everything.
type listener struct {
	mu       sync.Mutex
	calls    []string
	parts    int
	segments map[string][]sluice.Segment
	bytes    map[string][]byte // of the open segment
	wrong    []string
}

func (l *listener) note(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, fmt.Sprintf(format, args...))
}

// Begin implements Sink.
func (l *listener) Begin(rec sluice.Recording) { l.note("begin %s", rec.ID) }

// Describe implements Sink.
func (l *listener) Describe(string, []sluice.Rendition) {}

// Init implements Sink.
func (l *listener) Init(_, rendition string, version int, _ []byte) {
	l.note("init %s %d", rendition, version)
}

// Part implements Sink.
func (l *listener) Part(_, rendition string, growing sluice.Segment, p sluice.Part, data []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.parts++
	if l.bytes == nil {
		l.bytes = map[string][]byte{}
	}
	if int64(len(l.bytes[rendition])) != p.Bytes.Offset || int64(len(data)) != p.Bytes.Length {
		l.wrong = append(l.wrong, fmt.Sprintf("part %d of segment %d of %s lies at %+v behind %d bytes", p.Index, growing.Sequence, rendition, p.Bytes, len(l.bytes[rendition])))
	}
	l.bytes[rendition] = append(l.bytes[rendition], data...)
}

// Segment implements Sink.
func (l *listener) Segment(_, rendition string, s sluice.Segment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.segments == nil {
		l.segments = map[string][]sluice.Segment{}
	}
	if before := l.segments[rendition]; len(before) > 0 && before[len(before)-1].Sequence+1 != s.Sequence {
		l.wrong = append(l.wrong, fmt.Sprintf("segment %d of %s follows %d", s.Sequence, rendition, before[len(before)-1].Sequence))
	}
	l.segments[rendition] = append(l.segments[rendition], s)
	delete(l.bytes, rendition)
}

// Leave implements Sink.
func (l *listener) Leave(rec string) { l.note("leave %s", rec) }

// End implements Sink.
func (l *listener) End(rec string) { l.note("end %s", rec) }

func (l *listener) finished(rendition string) []sluice.Segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]sluice.Segment(nil), l.segments[rendition]...)
}
