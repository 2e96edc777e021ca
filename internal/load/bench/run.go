package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"

	"github.com/sluice-live/sluice/internal/load"
)

// mode is a way for viewers to behave.
type mode struct {
	name string
	args []string
}

// equalFrames is the mode that shows what a frame of common size takes.
const equalFrames = "readers awake, keyframes no larger than other frames"

// spreadPackets is the mode that shows what publishers with a pacer cost.
const spreadPackets = "readers awake, the packets of a frame 1 ms apart"

// modes of the runs with a fixed number of viewers. The first is the one that
// everything but CPU time is taken from.
func modes() []mode {
	return []mode{
		{"readers awake, a datagram at a time", []string{"--no-gro"}},
		{"the same, with transport-cc feedback", []string{"--no-gro", "--twcc"}},
		{equalFrames, []string{"--no-gro", "--equal"}},
		{spreadPackets, []string{"--no-gro", "--spread=1ms"}},
		{"few wake-ups, runs kept whole, as behind a network card that cuts them", []string{"--coalesce=1ms"}},
	}
}

// bencher measures all servers in turns, so that a disturbance of the machine
// meets all of them.
type bencher struct {
	settings
	dir      string
	servers  []server
	reports  map[string]map[string][]*load.Report // by mode and server
	searches map[string]*load.SearchReport        // by server
}

func (b *bencher) run(ctx context.Context) error {
	b.reports = map[string]map[string][]*load.Report{}
	b.searches = map[string]*load.SearchReport{}
	for _, m := range modes() {
		b.reports[m.name] = map[string][]*load.Report{}
		for round := range b.runs {
			for _, s := range b.servers {
				fmt.Fprintf(os.Stderr, "bench: %s, %d viewers, %s, run %d of %d\n", s.name, b.viewers, m.name, round+1, b.runs)
				args := append([]string{"--viewers=" + strconv.Itoa(b.viewers), "--duration=" + b.duration.String()}, m.args...)
				report, err := b.measure(ctx, s, args)
				if err != nil {
					return fmt.Errorf("%s: %w", s.name, err)
				}
				b.reports[m.name][s.name] = append(b.reports[m.name][s.name], report)
			}
		}
	}
	if b.most == 0 {
		return nil
	}
	for _, s := range b.servers {
		fmt.Fprintf(os.Stderr, "bench: %s, the most viewers\n", s.name)
		report, err := b.measure(ctx, s, []string{
			"--viewers=" + strconv.Itoa(b.most), "--step=" + strconv.Itoa(s.step), "--hold=" + b.hold.String(), "--coalesce=1ms",
		})
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		b.searches[s.name] = report.Search
	}
	return nil
}

// measure starts a fresh server and runs load against it.
func (b *bencher) measure(ctx context.Context, s server, args []string) (*load.Report, error) {
	p, err := s.start(ctx, b.dir)
	if err != nil {
		return nil, err
	}
	report, err := b.load(ctx, p, args)
	if stopErr := p.stop(); err == nil {
		err = stopErr
	}
	return report, err
}

func (b *bencher) load(ctx context.Context, p *process, args []string) (*load.Report, error) {
	all := append([]string{
		"-c", b.clientCore, b.sluice, "load", "--json", "--whip-url=" + p.whip, "--whep-url=" + p.whep,
		"--pid=" + strconv.Itoa(p.cmd.Process.Pid),
	}, args...)
	cmd := exec.CommandContext(ctx, "taskset", all...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	report := &load.Report{}
	if err := json.NewDecoder(bytes.NewReader(out)).Decode(report); err != nil {
		return nil, fmt.Errorf("load's report: %w", err)
	}
	return report, nil
}
