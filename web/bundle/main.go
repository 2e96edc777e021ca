// Command bundle makes web/dist from web/src. Run it in the folder web (go
// generate does) after every change of the sources; a test holds dist against
// them. The bundler stays out of the server: only this program imports it.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	src := flag.String("src", "src", "folder of the sources")
	out := flag.String("out", "dist", "folder to write, replaced as a whole")
	flag.Parse()
	if err := run(*src, *out); err != nil {
		fmt.Fprintln(os.Stderr, "bundle:", err)
		os.Exit(1)
	}
}

func run(src, out string) error {
	files, err := Bundle(src)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(out); err != nil {
		return fmt.Errorf("clear: %w", err)
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return fmt.Errorf("make: %w", err)
	}
	for name, body := range files {
		if err := os.WriteFile(filepath.Join(out, name), body, 0o644); err != nil {
			return fmt.Errorf("write: %w", err)
		}
	}
	return nil
}
