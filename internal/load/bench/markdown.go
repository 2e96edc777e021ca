package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/sluice-live/sluice/internal/load"
)

// row is a line of the table: something that each run tells.
type row struct {
	name   string
	format string
	of     func(*load.Report) float64
}

// latencyRows is how many of the rows tell of delays, at the beginning.
const latencyRows = 4

func rows() []row {
	return []row{
		{"forward delay p50, ms", "%.2f", func(r *load.Report) float64 { return r.ForwardDelay.P50 }},
		{"forward delay p99, ms", "%.2f", func(r *load.Report) float64 { return r.ForwardDelay.P99 }},
		{"frame latency p50, ms", "%.2f", func(r *load.Report) float64 { return r.FrameLatency.P50 }},
		{"frame latency p99, ms", "%.2f", func(r *load.Report) float64 { return r.FrameLatency.P99 }},
		{"POST to first packet p50, ms", "%.0f", func(r *load.Report) float64 { return r.Join.FirstPacket.P50 }},
		{"POST to first packet p99, ms", "%.0f", func(r *load.Report) float64 { return r.Join.FirstPacket.P99 }},
		{"POST to first keyframe p50, ms", "%.0f", func(r *load.Report) float64 { return r.Join.FirstKeyframe.P50 }},
		{"POST to first keyframe p99, ms", "%.0f", func(r *load.Report) float64 { return r.Join.FirstKeyframe.P99 }},
		{"resident memory for each viewer, kB", "%.0f", func(r *load.Report) float64 { return float64(r.Server.PerViewer) / 1000 }},
		{"lost, %", "%.3f", func(r *load.Report) float64 { return r.Received.Lost }},
		{"frames missing, %", "%.3f", func(r *load.Report) float64 { return r.Received.MissingFrames }},
		{"PLIs to the publisher", "%.0f", func(r *load.Report) float64 { return float64(r.Published.PLIs) }},
	}
}

// write prints everything as Markdown.
func (b *bencher) write(w io.Writer) error {
	var t strings.Builder
	fmt.Fprintf(&t, "Whole servers on %s: server on core %s, client on core %s.\n", machine(), b.serverCore, b.clientCore)
	fmt.Fprintf(&t, "Publisher: 2.5 Mbit/s of synthetic H.264, 30 frames/s, a keyframe every 2 s, PLI ignored. %d viewers join at 100/s. Median of %d runs in turns.\n", b.viewers, b.runs)
	fmt.Fprintf(&t, "Command: `%s`\n\n", strings.Join(os.Args, " "))

	b.header(&t, "CPU-seconds of the server for each delivered gigabit")
	for _, m := range modes() {
		b.line(&t, row{m.name, "%.3f", func(r *load.Report) float64 { return r.Server.PerGigabit }}, b.reports[m.name])
	}
	t.WriteString("\n")
	b.header(&t, "other, "+modes()[0].name)
	for _, r := range rows() {
		b.line(&t, r, b.reports[modes()[0].name])
	}
	for _, mode := range []string{equalFrames, spreadPackets} {
		t.WriteString("\n")
		b.header(&t, mode)
		for _, r := range rows()[:latencyRows] {
			b.line(&t, r, b.reports[mode])
		}
	}
	if len(b.searches) > 0 {
		b.writeSearches(&t)
	}
	_, err := io.WriteString(w, t.String())
	return err
}

func (b *bencher) header(t *strings.Builder, title string) {
	fmt.Fprintf(t, "| %s |", title)
	for _, s := range b.servers {
		fmt.Fprintf(t, " %s |", s.name)
	}
	t.WriteString(" ratio |\n|---|" + strings.Repeat("---|", len(b.servers)+1) + "\n")
}

// line prints medians, and the ratio of the last server's to the first's.
func (b *bencher) line(t *strings.Builder, r row, reports map[string][]*load.Report) {
	fmt.Fprintf(t, "| %s |", r.name)
	var medians []float64
	for _, s := range b.servers {
		m := median(reports[s.name], r.of)
		medians = append(medians, m)
		fmt.Fprintf(t, " "+r.format+" |", m)
	}
	ratio := "-"
	if first, last := medians[0], medians[len(medians)-1]; len(medians) > 1 && first > 0 && last > 0 {
		ratio = fmt.Sprintf("%.1f", last/first)
	}
	fmt.Fprintf(t, " %s |\n", ratio)
}

func median(reports []*load.Report, of func(*load.Report) float64) float64 {
	var values []float64
	for _, r := range reports {
		values = append(values, of(r))
	}
	slices.Sort(values)
	if len(values) == 0 {
		return 0
	}
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}

func (b *bencher) writeSearches(t *strings.Builder) {
	t.WriteString("\nViewers on one core until p99 frame latency passes 100 ms or 0.5 % is missing, and until p99 forward delay passes 20 ms or 0.1 % is missing:\n\n")
	t.WriteString("| server | 100 ms, 0.5 % | 20 ms, 0.1 % | steps: viewers, p99 frame latency, p99 forward delay, missing, server, client |\n|---|---|---|---|\n")
	for _, s := range b.servers {
		search := b.searches[s.name]
		var steps []string
		for _, step := range search.Steps {
			steps = append(steps, fmt.Sprintf("%d: %.0f ms, %.0f ms, %.2f %%, %.0f %%, %.0f %%",
				step.Viewers, step.FrameLatency.P99, step.ForwardDelay.P99, step.Lost, step.ServerCPU, step.ClientCPU))
		}
		fmt.Fprintf(t, "| %s | %d | %d | %s |\n", s.name, search.Viewers, prompt(search.Steps), strings.Join(steps, "<br>"))
	}
}

// prompt returns how many viewers got nearly every packet at once: the most before
// p99 forward delay passes 20 ms or 0.1 % is missing.
func prompt(steps []load.StepReport) (viewers int) {
	for _, step := range steps {
		if step.ForwardDelay.P99 > 20 || step.Lost > 0.1 || step.Failed > 0 {
			break
		}
		viewers = step.Viewers
	}
	return viewers
}

// machine describes the computer.
func machine() string {
	model := "an unknown processor"
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	kernel := "Linux"
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		kernel += " " + strings.TrimSpace(string(b))
	}
	return fmt.Sprintf("%d x %s, %s, %s", runtime.NumCPU(), model, kernel, runtime.Version())
}
