package load

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Report is the result of a run. Times are of the measured window, which begins
// when the last viewer has joined.
type Report struct {
	Seconds      float64        `json:"seconds"`
	Publishers   int            `json:"publishers"`
	Viewers      ViewerReport   `json:"viewers"`
	Join         JoinReport     `json:"join"`
	Received     TrafficReport  `json:"received"`
	ForwardDelay Spread         `json:"forwardDelayMs"` // of a packet: sent by the publisher, to received by a probe
	FrameLatency Spread         `json:"frameLatencyMs"` // the same for a frame's last packet
	Published    PublisherStats `json:"published"`
	Server       *ServerReport  `json:"server,omitempty"`
	ClientCPU    float64        `json:"clientCpuPercent"` // of one core
	Search       *SearchReport  `json:"search,omitempty"`
}

// ViewerReport counts viewers.
type ViewerReport struct {
	Connected int            `json:"connected"`
	Failed    int            `json:"failed"`
	Silent    int            `json:"silent"`  // connected without media
	Stalled   int            `json:"stalled"` // without media in the last two seconds, though there was some before
	Ended     int            `json:"ended"`   // closed by the server, or no longer answered by it
	Errors    map[string]int `json:"errors,omitempty"`
	SRTP      map[string]int `json:"srtp,omitempty"` // by protection profile
}

// JoinReport says how long it took from sending the POST.
type JoinReport struct {
	FirstPacket   Spread `json:"firstPacketMs"`
	FirstKeyframe Spread `json:"firstKeyframeMs"` // first packet of the first keyframe
	// ServerCPU is what the server took, for each viewer, from the first POST to
	// the last viewer's connection, in milliseconds; media of that time is in it.
	ServerCPU float64 `json:"serverCpuMs,omitempty"`
}

// TrafficReport is what all viewers received.
type TrafficReport struct {
	Packets uint64  `json:"packets"`
	Bytes   uint64  `json:"bytes"` // of SRTP packets, as UDP payload
	Mbit    float64 `json:"mbitPerSecond"`
	Lost    float64 `json:"lostPercent"` // by gaps of sequence numbers
	// MissingFrames are those of which the end did not arrive at the probes: also
	// what a server leaves out and hides by numbering anew.
	MissingFrames float64 `json:"missingFramesPercent"`
	// Delivered is packets received of those published, for each viewer; what is
	// under way at the window's ends blurs it. 0 without a publisher.
	Delivered float64 `json:"deliveredPercent"`
	Other     uint64  `json:"otherPackets"` // RTX and probing
}

// ServerReport is what /proc told of the server: nothing when it has Ended.
type ServerReport struct {
	Ended      bool    `json:"ended,omitempty"`
	CPUSeconds float64 `json:"cpuSeconds"`
	CPUPercent float64 `json:"cpuPercent"`     // of one core
	PerGigabit float64 `json:"cpuSecondsGbit"` // CPU-seconds for each delivered gigabit
	RSS        int64   `json:"rss"`            // bytes, at the end of the window
	PerViewer  int64   `json:"rssPerViewer"`   // bytes that it grew by, for each viewer
}

// SearchReport is the course of a search.
type SearchReport struct {
	Viewers int          `json:"viewers"` // most that were within the limits
	Steps   []StepReport `json:"steps"`
}

// StepReport is one step of a search.
type StepReport struct {
	Viewers      int     `json:"viewers"`
	FrameLatency Spread  `json:"frameLatencyMs"`
	ForwardDelay Spread  `json:"forwardDelayMs"`
	Lost         float64 `json:"lostPercent"` // packets, or frames where more of them are missing
	ServerCPU    float64 `json:"serverCpuPercent,omitempty"`
	PerGigabit   float64 `json:"cpuSecondsGbit,omitempty"`
	ClientCPU    float64 `json:"clientCpuPercent"`
	Failed       int     `json:"failed,omitempty"`
	Stalled      int     `json:"stalled,omitempty"`
}

// Spread summarises durations in milliseconds.
type Spread struct {
	Count uint64  `json:"count"`
	P50   float64 `json:"p50"`
	P95   float64 `json:"p95"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}

func (h *histogram) spread() Spread {
	return Spread{
		Count: h.total, P50: milliseconds(h.quantile(0.5)), P95: milliseconds(h.quantile(0.95)),
		P99: milliseconds(h.quantile(0.99)), Max: milliseconds(h.largest),
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// String is "p50 / p95 / p99 / max ms".
func (s Spread) String() string {
	if s.Count == 0 {
		return "none measured"
	}
	return fmt.Sprintf("%.2f / %.2f / %.2f / %.2f ms (p50 / p95 / p99 / max of %d)", s.P50, s.P95, s.P99, s.Max, s.Count)
}

// Err says why the report tells nothing of the server's media.
func (r *Report) Err() error {
	if r.Viewers.Failed > 0 && r.Viewers.Connected == 0 {
		return errors.New("no viewer has connected")
	}
	return nil
}

// Write prints the report as text.
func (r *Report) Write(w io.Writer) error {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-15s %s\n", name, fmt.Sprintf(format, args...))
	}
	v := r.Viewers
	line("viewers", "%d connected, %d failed, %d silent, %d stalled, %d ended; SRTP %s", v.Connected, v.Failed, v.Silent, v.Stalled, v.Ended, counted(v.SRTP))
	for _, text := range sortedKeys(v.Errors) {
		line("", "%d times: %s", v.Errors[text], text)
	}
	line("first packet", "%s after the POST", r.Join.FirstPacket)
	line("first keyframe", "%s after the POST", r.Join.FirstKeyframe)
	if r.Join.ServerCPU > 0 {
		line("each join", "%.2f ms of the server's CPU time", r.Join.ServerCPU)
	}
	if r.Search != nil {
		r.Search.write(line)
	} else {
		r.writeWindow(line)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Report) writeWindow(line func(string, string, ...any)) {
	line("received", "%d packets, %d bytes in %.1f s: %.1f Mbit/s, %.3f %% lost, %.3f %% of frames missing", r.Received.Packets, r.Received.Bytes, r.Seconds, r.Received.Mbit, r.Received.Lost, r.Received.MissingFrames)
	if r.Publishers > 0 {
		line("published", "%d packets, %d bytes by %d publishers; %d PLIs, %d NACKs, %d frames late; %.2f %% of it delivered to each viewer",
			r.Published.Packets, r.Published.Bytes, r.Publishers, r.Published.PLIs, r.Published.NACKs, r.Published.Late, r.Received.Delivered)
	}
	line("forward delay", "%s", r.ForwardDelay)
	line("frame latency", "%s", r.FrameLatency)
	if s := r.Server; s != nil && s.Ended {
		line("server", "its process has ended")
	} else if s != nil {
		line("server", "%.2f CPU-s, %.1f %% of a core, %.3f CPU-s/Gbit; RSS %.1f MB, %.0f kB for each viewer",
			s.CPUSeconds, s.CPUPercent, s.PerGigabit, float64(s.RSS)/1e6, float64(s.PerViewer)/1e3)
	}
	line("this client", "%.1f %% of a core", r.ClientCPU)
}

func (s *SearchReport) write(line func(string, string, ...any)) {
	for _, step := range s.Steps {
		line(fmt.Sprintf("%d viewers", step.Viewers), "frame latency %.2f / %.2f ms, %.3f %% lost, server %.1f %% of a core, %.3f CPU-s/Gbit, client %.1f %%",
			step.FrameLatency.P50, step.FrameLatency.P99, step.Lost, step.ServerCPU, step.PerGigabit, step.ClientCPU)
	}
	line("within limits", "%d viewers", s.Viewers)
}

func sortedKeys(m map[string]int) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func counted(m map[string]int) string {
	var parts []string
	for _, k := range sortedKeys(m) {
		parts = append(parts, fmt.Sprintf("%s %d", k, m[k]))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}
