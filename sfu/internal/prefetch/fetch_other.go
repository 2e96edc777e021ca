//go:build !amd64 && !arm64

package prefetch

import "unsafe"

func fetch(unsafe.Pointer, uintptr) {}
