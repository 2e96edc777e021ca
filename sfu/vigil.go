package sfu

import "sync/atomic"

// vigilGap is how long nobody may have looked until this process itself is taken
// to have stood still: its machine was suspended, or gave it no processor.
const vigilGap = int64(2 * monitorInterval)

// vigil tells peers that are silent from a process that did not listen: what has not
// come while it stood still says nothing. All times are of the SFU clock. Any
// goroutine may call its methods; the zero value is ready.
type vigil struct{ since, last atomic.Int64 }

// look notes that somebody looks now, as the monitor of each stream does.
func (v *vigil) look(now int64) {
	v.since.Store(v.unbroken(now))
	v.last.Store(now)
}

// unbroken is since when this process has been listening.
func (v *vigil) unbroken(now int64) int64 {
	if now-v.last.Load() > vigilGap {
		return now
	}
	return v.since.Load()
}

// silent is how long a peer has said nothing while this process listened; its last
// word came at last.
func (v *vigil) silent(now, last int64) int64 { return now - max(last, v.unbroken(now)) }
