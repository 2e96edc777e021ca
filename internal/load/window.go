package load

import (
	"context"
	"time"
)

// sample is what has been counted until one moment.
type sample struct {
	at        time.Time
	viewers   int // that have a stream
	packets   uint64
	bytes     uint64
	other     uint64
	expected  uint64
	lost      uint64
	wanted    uint64 // frames that were published for probes
	got       uint64 // frames of which the end arrived at them
	published PublisherStats
	serverCPU time.Duration
	serverEnd bool // its process has ended
	clientCPU time.Duration
	forward   histogram
	frames    histogram
}

// sample asks everybody. It empties the histograms.
func (r *run) sample() *sample {
	s := &sample{}
	r.mu.Lock()
	viewers := r.viewers
	r.mu.Unlock()
	for i, reactor := range r.reactors {
		reactor.do(func() { r.sampleReactor(s, i, viewers) })
	}
	for _, p := range r.publishers {
		stats := p.stats()
		s.published.Packets += stats.Packets
		s.published.Bytes += stats.Bytes
		s.published.PLIs += stats.PLIs
		s.published.NACKs += stats.NACKs
		s.published.Late += stats.Late
	}
	var err error
	if s.clientCPU, err = r.client.cpu(); err != nil {
		s.clientCPU = 0 // no /proc
	}
	if r.server != nil {
		if s.serverCPU, err = r.server.cpu(); err != nil {
			s.serverEnd = true
		}
	}
	s.at = time.Now()
	return s
}

func (r *run) sampleReactor(s *sample, i int, viewers []*viewer) {
	t := r.tallies[i]
	s.packets += t.packets.Load()
	s.bytes += t.bytes.Load()
	s.other += t.other.Load()
	s.forward.merge(&t.forward)
	s.frames.merge(&t.frames)
	t.forward.reset()
	t.frames.reset()
	for _, v := range viewers {
		if v.reactor != r.reactors[i] {
			continue
		}
		for j := range v.streams[:v.count] {
			s.expected += v.streams[j].expected()
			s.lost += v.streams[j].lost()
		}
		if v.count > 0 {
			s.viewers++
		}
		s.wanted += v.expectedFrames()
		s.got += v.gotFrames
	}
}

// settle is the time between the last join and the window: what the joins have
// begun comes to its end.
const settle = time.Second

// measure waits for the window and reports.
func (r *run) measure(ctx context.Context) *Report {
	wait(ctx, settle)
	from := r.sample()
	wait(ctx, r.cfg.Duration)
	return r.report(from, r.sample())
}

// wait returns after d or when ctx has ended.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// report is the difference of two samples, and the state of the viewers.
func (r *run) report(from, to *sample) *Report {
	rep := &Report{
		Seconds: to.at.Sub(from.at).Seconds(), Publishers: len(r.publishers),
		Received: traffic(from, to, len(r.publishers)), Published: to.published,
		ForwardDelay: to.forward.spread(), FrameLatency: to.frames.spread(),
		ClientCPU: percent((to.clientCPU - from.clientCPU).Seconds(), to.at.Sub(from.at).Seconds()),
	}
	rep.Viewers, rep.Join = r.joins(to.at)
	if r.server == nil {
		return rep
	}
	n := rep.Viewers.Connected
	if n > 0 {
		rep.Join.ServerCPU = milliseconds(r.joinCPU) / float64(n)
	}
	rss, err := r.server.resident()
	if err != nil || to.serverEnd {
		rep.Server = &ServerReport{Ended: true}
		return rep
	}
	rep.Server = serverReport(from, to)
	rep.Server.RSS = rss
	if n > 0 {
		rep.Server.PerViewer = max(rss-r.idleRSS, 0) / int64(n)
	}
	return rep
}

func traffic(from, to *sample, publishers int) TrafficReport {
	t := TrafficReport{Packets: to.packets - from.packets, Bytes: to.bytes - from.bytes, Other: to.other - from.other}
	t.Mbit = float64(t.Bytes) * 8 / 1e6 / to.at.Sub(from.at).Seconds()
	lost := max(int64(to.lost)-int64(from.lost), 0)
	t.Lost = percent(float64(lost), float64(int64(to.expected)-int64(from.expected)))
	wanted, got := int64(to.wanted)-int64(from.wanted), int64(to.got)-int64(from.got)
	t.MissingFrames = percent(float64(max(wanted-got, 0)), float64(wanted))
	if publishers > 0 {
		each := float64(to.published.Packets-from.published.Packets) / float64(publishers)
		t.Delivered = percent(float64(t.Packets), each*float64(to.viewers))
	}
	return t
}

// stalled reports whether there was media, and is none now.
func (v *viewer) stalled(now time.Time) bool {
	return v.firstMedia != 0 && now.UnixNano()-v.lastMedia > int64(stallTime)
}

func serverReport(from, to *sample) *ServerReport {
	s := &ServerReport{CPUSeconds: (to.serverCPU - from.serverCPU).Seconds()}
	s.CPUPercent = percent(s.CPUSeconds, to.at.Sub(from.at).Seconds())
	if bytes := to.bytes - from.bytes; bytes > 0 {
		s.PerGigabit = s.CPUSeconds / (float64(bytes) * 8 / 1e9)
	}
	return s
}

func percent(part, whole float64) float64 {
	if whole <= 0 {
		return 0
	}
	return 100 * part / whole
}

// stallTime is how long a viewer may be without media.
const stallTime = 2 * time.Second

// joins says how the viewers came in and what has become of them until now.
func (r *run) joins(now time.Time) (ViewerReport, JoinReport) {
	r.mu.Lock()
	viewers := r.viewers
	report := ViewerReport{Connected: len(viewers), Failed: r.failed, Errors: r.errors, SRTP: r.srtp}
	r.mu.Unlock()
	var packet, keyframe histogram
	for i, reactor := range r.reactors {
		reactor.do(func() {
			for _, v := range viewers {
				if v.reactor != r.reactors[i] {
					continue
				}
				if v.firstMedia == 0 {
					report.Silent++
				} else {
					packet.add(time.Duration(v.firstMedia - v.resource.posted))
				}
				if v.stalled(now) {
					report.Stalled++
				}
				if v.firstKey != 0 {
					keyframe.add(time.Duration(v.firstKey - v.resource.posted))
				}
				if v.expired || v.ended() {
					report.Ended++
				}
			}
		})
	}
	return report, JoinReport{FirstPacket: packet.spread(), FirstKeyframe: keyframe.spread()}
}
