// Command bench measures whole servers: Sluice, and MediaMTX beside it in the
// same run. The server has one core and `sluice load` another. It prints
// Markdown on stdout and what it does on stderr; `make bench` runs it.
//
// It starts and stops the servers itself, and knows of Sluice only its command
// line and load's report.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"time"
)

// settings are the flags.
type settings struct {
	sluice     string
	peer       string
	runs       int
	viewers    int
	duration   time.Duration
	most, step int
	hold       time.Duration
	serverCore string
	clientCore string
}

func main() {
	var s settings
	flag.StringVar(&s.sluice, "sluice", "bin/sluice", "program to measure, which is also the client")
	flag.StringVar(&s.peer, "peer", "mediamtx", "mediamtx: build it through the module proxy and measure it too; none; or the path of a MediaMTX program")
	flag.IntVar(&s.runs, "runs", 3, "runs of each measurement; the median counts")
	flag.IntVar(&s.viewers, "viewers", 100, "viewers of a run")
	flag.DurationVar(&s.duration, "duration", 10*time.Second, "how long a run measures")
	flag.IntVar(&s.most, "most", 3000, "viewers at which a search ends; 0: no search")
	flag.IntVar(&s.step, "step", 250, "viewers that a search adds at once for Sluice; a fifth of it for others")
	flag.DurationVar(&s.hold, "hold", 5*time.Second, "how long a search measures each step")
	flag.StringVar(&s.serverCore, "server-core", "0", "core of the server")
	flag.StringVar(&s.clientCore, "client-core", "1", "core of the client")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := bench(ctx, s, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

func bench(ctx context.Context, s settings, out io.Writer) error {
	if _, err := exec.LookPath("taskset"); err != nil || runtime.GOOS != "linux" {
		return errors.New("this needs Linux and taskset")
	}
	if _, err := os.Stat(s.sluice); err != nil {
		return fmt.Errorf("build first: %w", err)
	}
	dir, err := os.MkdirTemp("", "sluice-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	servers := []server{{name: "Sluice", start: s.startSluice, step: s.step}}
	switch s.peer {
	case "none":
	default:
		program, err := peerProgram(ctx, s.peer)
		if err != nil {
			fmt.Fprintf(os.Stderr, "bench: MediaMTX is left out: %v\n", err)
			break
		}
		start := func(ctx context.Context, dir string) (*process, error) { return s.startMediaMTX(ctx, program, dir) }
		servers = append(servers, server{name: "MediaMTX " + mediamtxVersion, start: start, step: max(s.step/5, 1)})
	}
	b := &bencher{settings: s, dir: dir, servers: servers}
	if err := b.run(ctx); err != nil {
		return err
	}
	return b.write(out)
}
