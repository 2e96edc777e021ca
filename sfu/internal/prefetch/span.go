package prefetch

import "unsafe"

// Span is the memory of one value. The zero value is none.
type Span struct {
	at    unsafe.Pointer
	bytes uintptr
}

// Of returns the memory of what p points to, without what that points to. nil
// has none.
func Of[T any](p *T) Span {
	if p == nil {
		return Span{}
	}
	return Span{unsafe.Pointer(p), unsafe.Sizeof(*p)}
}

// Fetch begins to bring the span into the cache and does not wait for it.
func (s Span) Fetch() {
	if s.bytes > 0 {
		fetch(s.at, s.bytes)
	}
}
