package main

import (
	"fmt"
	"io"
	"runtime"

	"github.com/sluice-live/sluice/internal/node"
)

// VersionCmd prints what was built.
type VersionCmd struct{}

// Run implements the command.
func (VersionCmd) Run(out io.Writer) error {
	version, revision := node.Version()
	_, err := fmt.Fprintf(out, "sluice %s\nrevision %s\n%s %s/%s\n", version, revision, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
