//go:build !linux

package blob

import "math"

// Space implements Store. Here nothing is known of it: a full disk shows itself
// by failed writes.
func (d *Disk) Space() (free, total int64, err error) { return math.MaxInt64, math.MaxInt64, nil }
