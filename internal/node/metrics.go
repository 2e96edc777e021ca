package node

import (
	"errors"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/obs"
	"github.com/sluice-live/sluice/sfu"
)

// counted is a total of the media plane as a metric.
type counted struct {
	name   string
	help   string
	labels obs.Labels
	read   func(sfu.Counters) uint64
}

// counts names the totals of the media plane.
func counts() []counted {
	const (
		packets = "RTP packets, retransmissions included, by kind and direction: in is from publishers, out is to viewers."
		bytes   = "Bytes of RTP header and payload, by kind and direction."
		changes = "Changes of the layer that a viewer gets, by cause: viewer (it asked) or estimate."
		plis    = "Keyframe requests: in is from viewers, out is to publishers."
		nacks   = "Packets asked for again: in is by viewers, out is of publishers."
		again   = "Packets sent again: in is by publishers on RTX, out is to viewers."
		drops   = "Packets that were not forwarded, by reason."
	)
	in, out := obs.Labels{"direction": "in"}, obs.Labels{"direction": "out"}
	flow := func(kind, direction string) obs.Labels { return obs.Labels{"kind": kind, "direction": direction} }
	reason := func(r string) obs.Labels { return obs.Labels{"reason": r} }
	return []counted{
		{"sluice_rtp_packets_total", packets, flow("video", "in"), func(c sfu.Counters) uint64 { return c.PacketsIn[sfu.Video] }},
		{"sluice_rtp_packets_total", packets, flow("audio", "in"), func(c sfu.Counters) uint64 { return c.PacketsIn[sfu.Audio] }},
		{"sluice_rtp_packets_total", packets, flow("video", "out"), func(c sfu.Counters) uint64 { return c.PacketsOut[sfu.Video] }},
		{"sluice_rtp_packets_total", packets, flow("audio", "out"), func(c sfu.Counters) uint64 { return c.PacketsOut[sfu.Audio] }},
		{"sluice_rtp_bytes_total", bytes, flow("video", "in"), func(c sfu.Counters) uint64 { return c.BytesIn[sfu.Video] }},
		{"sluice_rtp_bytes_total", bytes, flow("audio", "in"), func(c sfu.Counters) uint64 { return c.BytesIn[sfu.Audio] }},
		{"sluice_rtp_bytes_total", bytes, flow("video", "out"), func(c sfu.Counters) uint64 { return c.BytesOut[sfu.Video] }},
		{"sluice_rtp_bytes_total", bytes, flow("audio", "out"), func(c sfu.Counters) uint64 { return c.BytesOut[sfu.Audio] }},
		{"sluice_probe_bytes_total", "Bytes sent only to find out what a path carries.", out, func(c sfu.Counters) uint64 { return c.Padding }},
		{"sluice_send_failed_total", "Packets that could not be encrypted or handed to the kernel.", out, func(c sfu.Counters) uint64 { return c.SendFailed }},
		{"sluice_pli_total", plis, in, func(c sfu.Counters) uint64 { return c.PLIsIn }},
		{"sluice_pli_total", plis, out, func(c sfu.Counters) uint64 { return c.PLIsOut }},
		{"sluice_nack_total", nacks, in, func(c sfu.Counters) uint64 { return c.NACKsIn }},
		{"sluice_nack_total", nacks, out, func(c sfu.Counters) uint64 { return c.NACKsOut }},
		{"sluice_rtp_restored_total", "Packets of publishers that were lost and made again from redundancy.", in, func(c sfu.Counters) uint64 { return c.Restored }},
		{"sluice_repair_packets_total", "FlexFEC repair packets sent to viewers.", out, func(c sfu.Counters) uint64 { return c.RepairsOut }},
		{"sluice_rtx_packets_total", again, in, func(c sfu.Counters) uint64 { return c.ResentIn }},
		{"sluice_rtx_packets_total", again, out, func(c sfu.Counters) uint64 { return c.Resent }},
		{"sluice_rtx_refused_total", "Packets asked for and not sent again: forgotten, or over the viewer's budget.", nil,
			func(c sfu.Counters) uint64 { return c.ResendRefused }},
		{"sluice_layer_switches_total", changes, obs.Labels{"cause": "viewer"}, func(c sfu.Counters) uint64 { return c.SwitchesChosen }},
		{"sluice_layer_switches_total", changes, obs.Labels{"cause": "estimate"}, func(c sfu.Counters) uint64 { return c.SwitchesAuto }},
		{"sluice_rtp_dropped_total", drops, reason("overrun"), func(c sfu.Counters) uint64 { return c.DroppedOverrun }},
		{"sluice_rtp_dropped_total", drops, reason("late"), func(c sfu.Counters) uint64 { return c.DroppedLate }},
		{"sluice_rtp_dropped_total", drops, reason("malformed"), func(c sfu.Counters) uint64 { return c.DroppedMalformed }},
		{"sluice_rtp_dropped_total", drops, reason("duplicate"), func(c sfu.Counters) uint64 { return c.DroppedDuplicate }},
		{"sluice_feedback_dropped_total", "Feedback of viewers lost to a busy shard.", nil, func(c sfu.Counters) uint64 { return c.CommandsDropped }},
		{"sluice_sessions_failed_total", "Sessions that ended before they connected.", nil, func(c sfu.Counters) uint64 { return c.SessionsFailed }},
	}
}

// exportMedia registers the media plane's numbers.
func exportMedia(r *obs.Registry, media *sfu.SFU) error {
	var errs []error
	for _, m := range counts() {
		errs = append(errs, r.CounterFunc(m.name, m.help, m.labels, func() float64 { return float64(m.read(media.Counters())) }))
	}
	for _, g := range []struct {
		name, help string
		read       func(sfu.Counters) int64
	}{
		{"sluice_streams", "Streams with a publisher or viewers.", func(c sfu.Counters) int64 { return c.StreamsNow }},
		{"sluice_publishers", "Publishers.", func(c sfu.Counters) int64 { return c.PublishersNow }},
		{"sluice_viewers", "Viewers.", func(c sfu.Counters) int64 { return c.ViewersNow }},
		{"sluice_sessions_pending", "Sessions that are still connecting.", func(c sfu.Counters) int64 { return c.SessionsPending }},
	} {
		errs = append(errs, r.GaugeFunc(g.name, g.help, nil, func() float64 { return float64(g.read(media.Counters())) }))
	}
	return errors.Join(errs...)
}

// exportStreams registers the series that carry the stream's name.
func exportStreams(r *obs.Registry, media *sfu.SFU) error {
	return errors.Join(
		r.GaugesFunc("sluice_stream_viewers", "Viewers of a stream.", "stream", func() map[string]float64 {
			values := map[string]float64{}
			for _, s := range media.Streams() {
				values[s.Name] = float64(s.Viewers)
			}
			return values
		}),
		r.GaugesFunc("sluice_stream_bitrate_bits_per_second", "Bit rate that a stream's publisher sends, all layers and audio.", "stream", func() map[string]float64 {
			values := map[string]float64{}
			for _, s := range media.Streams() {
				sum := 0
				for _, l := range s.Layers {
					sum += l.Bitrate
				}
				if s.Audio != nil {
					sum += s.Audio.Bitrate
				}
				values[s.Name] = float64(sum)
			}
			return values
		}),
	)
}

// histogram makes a distribution that the media plane can add to.
func histogram(r *obs.Registry, name, help string, buckets ...float64) (sfu.Observer, error) {
	observe, err := r.Histogram(name, help, nil, buckets)
	if err != nil {
		return nil, err
	}
	return observer(observe), nil
}

type observer func(float64)

// Observe implements sfu.Observer.
func (o observer) Observe(seconds float64) { o(seconds) }

// exportNode registers what the node measures of itself, and how far it goes.
func (n *Node) exportNode() error {
	gauge := func(name, help string, read func(sluice.NodeLoad) float64) error {
		return n.metrics.GaugeFunc(name, help, nil, func() float64 {
			load, _ := n.governor.now()
			return read(load)
		})
	}
	errs := []error{
		gauge("sluice_node_cpu_ratio", "Share of its processors that the node uses.", func(l sluice.NodeLoad) float64 { return l.CPU }),
		gauge("sluice_node_egress_bits_per_second", "What the node sends to viewers and to other nodes.", func(l sluice.NodeLoad) float64 { return l.Mbps * 1e6 }),
		n.metrics.GaugeFunc("sluice_overload_step", "How far the node goes to carry what it has: 0 none, 1 cap-low, 2 cap-all, 3 rungs, 4 hls, 5 refuse.", nil, func() float64 {
			_, step := n.governor.now()
			return float64(step)
		}),
	}
	for i, name := range sluice.Steps() {
		errs = append(errs, n.metrics.CounterFunc("sluice_overload_steps_total", "Changes to a step of overload, by step.", obs.Labels{"step": name},
			func() float64 { return float64(n.governor.changes[i].Load()) }))
	}
	return errors.Join(errs...)
}
