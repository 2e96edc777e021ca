package node

import (
	"errors"

	"github.com/sluice-live/sluice/internal/obs"
	"github.com/sluice-live/sluice/sfu"
)

// exportRelays registers the numbers of relays.
func exportRelays(metrics *obs.Registry, r *relays) error {
	const bytes = "Bytes of RTP between nodes, by direction: in is of streams that this node pulls, out is to nodes that pull from it."
	gauge := func(name, help string, read func(sfu.Counters) int64) error {
		return metrics.GaugeFunc(name, help, nil, func() float64 { return float64(read(r.media.Counters())) })
	}
	total := func(name, help string, labels obs.Labels, read func() uint64) error {
		return metrics.CounterFunc(name, help, labels, func() float64 { return float64(read()) })
	}
	return errors.Join(
		gauge("sluice_relays", "Streams that this node pulls from other nodes.", func(c sfu.Counters) int64 { return c.RelaysNow }),
		gauge("sluice_relay_children", "Pulls of streams from this node by others.", func(c sfu.Counters) int64 { return c.BranchesNow }),
		total("sluice_relay_bytes_total", bytes, obs.Labels{"direction": "in"}, func() uint64 { return r.media.Counters().RelayedIn }),
		total("sluice_relay_bytes_total", bytes, obs.Labels{"direction": "out"}, func() uint64 { return r.media.Counters().RelayedOut }),
		total("sluice_relay_reparentings_total", "Streams that this node went on to pull from another node, or anew.", nil, r.reparented.Load),
		total("sluice_relay_failures_total", "Pulls that another node refused or did not answer.", nil, r.failed.Load),
	)
}
