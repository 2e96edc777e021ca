package load

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// HLSReport is the result of a run with LL-HLS clients.
type HLSReport struct {
	Seconds      float64        `json:"seconds"`
	Viewers      int            `json:"viewers"`
	Playing      int            `json:"playing"` // at the end of the window
	Failed       int            `json:"failed"`
	Ended        int            `json:"ended"` // played to the end of the stream
	Errors       map[string]int `json:"errors,omitempty"`
	Playlists    uint64         `json:"playlists"` // requests for playlists
	PlaylistRate float64        `json:"playlistsPerSecond"`
	Parts        uint64         `json:"parts"`
	Bytes        uint64         `json:"bytes"` // of bodies
	Mbit         float64        `json:"mbitPerSecond"`
	PartDelay    Spread         `json:"partDelayMs"` // from the existence of a part to its last byte here
	Server       *HLSServer     `json:"server,omitempty"`
	ClientCPU    float64        `json:"clientCpuPercent"` // of one core
	Checked      bool           `json:"checked"`
	Violations   []string       `json:"violations,omitempty"`
}

// HLSServer is what /proc told of the server.
type HLSServer struct {
	CPUSeconds     float64 `json:"cpuSeconds"`
	CPUPercent     float64 `json:"cpuPercent"`              // of one core
	PerGigabit     float64 `json:"cpuSecondsGbit"`          // CPU-seconds for each gigabit of bodies
	PerPlaylist    float64 `json:"cpuMicrosecondsPlaylist"` // CPU time for each playlist request, of a flood
	ViewersPerCore float64 `json:"viewersPerCore"`
	RSS            int64   `json:"rss"` // bytes
}

func (r *HLSReport) measure(took time.Duration) {
	r.PlaylistRate = float64(r.Playlists) / took.Seconds()
	r.Mbit = float64(r.Bytes) * 8 / 1e6 / took.Seconds()
}

func newHLSServer(r *HLSReport, cpu, took time.Duration) *HLSServer {
	s := &HLSServer{CPUSeconds: cpu.Seconds(), CPUPercent: percent(float64(cpu), float64(took))}
	if r.Bytes > 0 {
		s.PerGigabit = cpu.Seconds() / (float64(r.Bytes) * 8 / 1e9)
	}
	if r.Playlists > 0 && r.Parts == 0 {
		s.PerPlaylist = float64(cpu.Microseconds()) / float64(r.Playlists)
	}
	if cpu > 0 && r.Parts > 0 {
		s.ViewersPerCore = float64(r.Playing) * took.Seconds() / cpu.Seconds()
	}
	return s
}

// Err says why the report tells nothing of the server's media.
func (r *HLSReport) Err() error {
	if r.Failed > 0 && r.Failed == r.Viewers {
		return errors.New("no viewer plays")
	}
	return nil
}

// Write prints the report as text.
func (r *HLSReport) Write(w io.Writer) error {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-15s %s\n", name, fmt.Sprintf(format, args...))
	}
	line("viewers", "%d of %d play, %d failed, %d reached the end", r.Playing, r.Viewers, r.Failed, r.Ended)
	for _, text := range sortedKeys(r.Errors) {
		line("", "%d times: %s", r.Errors[text], text)
	}
	line("received", "%d bytes in %.1f s: %.1f Mbit/s", r.Bytes, r.Seconds, r.Mbit)
	line("playlists", "%d, %.0f each second", r.Playlists, r.PlaylistRate)
	line("parts", "%d, %s after they exist", r.Parts, r.PartDelay)
	if s := r.Server; s != nil {
		line("server", "%.2f CPU-s, %.1f %% of a core, %.3f CPU-s/Gbit, %.0f viewers for each core; RSS %.1f MB",
			s.CPUSeconds, s.CPUPercent, s.PerGigabit, s.ViewersPerCore, float64(s.RSS)/1e6)
		if s.PerPlaylist > 0 {
			line("", "%.1f us of CPU for each playlist: %.0f each second for each core", s.PerPlaylist, 1e6/s.PerPlaylist)
		}
	}
	line("this client", "%.1f %% of a core", r.ClientCPU)
	if r.Checked {
		line("rules broken", "%d", len(r.Violations))
		for _, v := range r.Violations {
			line("", "%s", v)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
