//go:build amd64 || arm64

package prefetch

import "unsafe"

// fetch takes at least one byte.
//
//go:noescape
func fetch(at unsafe.Pointer, bytes uintptr)
