package hlsfallback

import (
	"net/http"
	"sync/atomic"
)

// Kind is what a request asked for.
type Kind uint8

// Kinds of requests.
const (
	KindOther Kind = iota // no such address, or a refused method
	KindMultivariant
	KindPlaylist
	KindSegment
	KindPart
	KindInit
	KindThumbnail
	KindFile
	kinds
)

// String names the kind as a label.
func (k Kind) String() string {
	return [...]string{"other", "multivariant", "playlist", "segment", "part", "init", "thumbnail", "file"}[k]
}

// statusGone stands for a caller that went away before it was answered.
const statusGone = 499

// statuses lists every status that is answered.
func statuses() []int {
	return []int{
		http.StatusOK, http.StatusNoContent, http.StatusPartialContent, http.StatusNotModified,
		http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound,
		http.StatusMethodNotAllowed, http.StatusConflict, http.StatusRequestedRangeNotSatisfiable,
		http.StatusTooManyRequests, statusGone, http.StatusInternalServerError, http.StatusServiceUnavailable,
	}
}

type counters struct {
	requests [kinds][16]atomic.Uint64 // by kind and index in statuses; the last is any other
	bytes    atomic.Uint64
	refused  atomic.Uint64
}

func (c *counters) count(kind Kind, status, bytes int) {
	c.bytes.Add(uint64(bytes))
	c.requests[kind][statusIndex(status)].Add(1)
}

func statusIndex(status int) int {
	if status == http.StatusOK {
		return 0
	}
	for i, s := range statuses() {
		if s == status {
			return i
		}
	}
	return 15
}

// Requests returns how many requests of a kind were answered with a status; 0
// stands for any that is not in Statuses.
func (h *Handler) Requests(kind Kind, status int) uint64 {
	return h.stats.requests[kind][statusIndex(status)].Load()
}

// Statuses lists the statuses that requests are counted by.
func Statuses() []int { return statuses() }

// Kinds lists the kinds that requests are counted by.
func Kinds() []Kind {
	return []Kind{KindOther, KindMultivariant, KindPlaylist, KindSegment, KindPart, KindInit, KindThumbnail, KindFile}
}

// Bytes is how many bytes of bodies were sent.
func (h *Handler) Bytes() uint64 { return h.stats.bytes.Load() }

// Parked is how many requests wait now.
func (h *Handler) Parked() int64 { return h.parked.Load() }

// Refused is how many requests were not parked because too many were.
func (h *Handler) Refused() uint64 { return h.stats.refused.Load() }
