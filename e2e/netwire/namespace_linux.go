package netwire

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// namespaces is where ip keeps those that it has named.
const namespaces = "/run/netns"

// sweep takes away the namespaces of processes that are no more.
func sweep() error {
	left, err := filepath.Glob(filepath.Join(namespaces, prefix+"*"))
	if err != nil {
		return err
	}
	for _, path := range left {
		name := filepath.Base(path)
		pid, _, _ := strings.Cut(strings.TrimPrefix(name, prefix), "-")
		if _, err := os.Stat(filepath.Join("/proc", pid)); !errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err := ip("netns", "delete", name); err != nil {
			return err
		}
	}
	return nil
}

// In runs f in a network namespace: sockets that f itself opens belong to it.
// Goroutines that f starts do not run in it.
func In(namespace string, f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		done <- enter(namespace, f)
	}()
	return <-done
}

func enter(namespace string, f func() error) error {
	ns, err := os.Open(filepath.Join(namespaces, namespace))
	if err != nil {
		return err
	}
	defer ns.Close()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter namespace %s: %w", namespace, err)
	}
	return f()
}

// request is struct ifreq of netdevice(7), as TUNSETIFF takes it.
type request struct {
	name  [unix.IFNAMSIZ]byte
	flags uint16
	_     [64]byte
}

// openTUN makes a TUN device in the namespace of the calling thread.
func openTUN(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/net/tun: %w", err)
	}
	r := request{flags: unix.IFF_TUN | unix.IFF_NO_PI}
	copy(r.name[:unix.IFNAMSIZ-1], name)
	if _, _, failed := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TUNSETIFF, uintptr(unsafe.Pointer(&r))); failed != 0 {
		return nil, fmt.Errorf("make device %s: %w", name, failed)
	}
	return os.NewFile(uintptr(fd), name), nil
}
