package blob

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Space implements Store: what the file system leaves to this user.
func (d *Disk) Space() (free, total int64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(d.dir, &s); err != nil {
		return 0, 0, fmt.Errorf("space of %s: %w", d.dir, err)
	}
	return int64(s.Bavail) * s.Bsize, int64(s.Blocks) * s.Bsize, nil
}
