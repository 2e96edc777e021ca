package catalog

import "github.com/pressly/goose/v3/lock"

// newLocker makes the advisory lock under which one node migrates while the
// others wait.
func newLocker() (lock.SessionLocker, error) {
	return lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 30), lock.WithUnlockTimeout(1, 5))
}
