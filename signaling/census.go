package signaling

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sluice-live/sluice"
)

const censusKey = "sluice:census"

func turnKey(region string) string { return "sluice:turn:{" + region + "}" }

// Census is what the nodes of a region carry together. One of them counts, every
// two heartbeats, and all read it, so that nobody has to read all nodes.
type Census struct {
	Nodes    int             `json:"nodes"`
	Load     sluice.NodeLoad `json:"load"`     // CPU is the mean
	Capacity sluice.Capacity `json:"capacity"` // a node without limit counts nothing
}

// Census returns the sums of all regions that were counted lately, as of the last
// heartbeat.
func (r *Registry) Census() map[string]Census { return *r.census.Load() }

// count reads the census, and counts this region when it is this node's turn. It
// is part of the heartbeat, and a failure leaves the census as it was.
func (r *Registry) count(ctx context.Context) {
	region := r.cfg.Region
	var turn *redis.BoolCmd
	var rows *redis.MapStringStringCmd
	var now *redis.TimeCmd
	err := r.try(ctx, "read census", func(ctx context.Context) error {
		_, err := r.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			turn = p.SetNX(ctx, turnKey(region), r.cfg.NodeID, 2*r.cfg.beat())
			rows = p.HGetAll(ctx, censusKey)
			now = p.Time(ctx)
			return nil
		})
		return err
	})
	if err != nil {
		return
	}
	all := readCensus(rows.Val(), now.Val(), 4*r.recordTTL())
	if turn.Val() {
		if nodes, err := r.NodesIn(ctx, region); err == nil {
			all[region] = sum(nodes)
			r.writeCensus(ctx, all[region], now.Val())
		}
	}
	r.census.Store(&all)
}

func (r *Registry) writeCensus(ctx context.Context, c Census, now time.Time) {
	row, err := json.Marshal(c)
	if err != nil {
		r.log.Warn("census cannot be written", "err", err) // a load that is no number
		return
	}
	_ = r.try(ctx, "write census", func(ctx context.Context) error { // counted again soon
		_, err := r.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			p.HSet(ctx, censusKey, r.cfg.Region, strconv.FormatInt(now.UnixMilli(), 10)+" "+string(row))
			p.PExpire(ctx, censusKey, regionTTL)
			return nil
		})
		return err
	})
}

// readCensus reads rows by region, each a time and a Census, leaving out old ones.
func readCensus(rows map[string]string, now time.Time, oldest time.Duration) map[string]Census {
	all := map[string]Census{}
	for region, row := range rows {
		at, text, _ := strings.Cut(row, " ")
		ms, err := strconv.ParseInt(at, 10, 64)
		var c Census
		if err != nil || now.Sub(time.UnixMilli(ms)) > oldest || len(text) > maxRecord || json.Unmarshal([]byte(text), &c) != nil {
			continue
		}
		all[region] = c
	}
	return all
}

func sum(nodes []Node) Census {
	c := Census{Nodes: len(nodes)}
	for _, n := range nodes {
		c.Load.CPU += n.Load.CPU / float64(len(nodes))
		c.Load.Mbps += n.Load.Mbps
		c.Load.Streams += n.Load.Streams
		c.Load.Publishers += n.Load.Publishers
		c.Load.Viewers += n.Load.Viewers
		c.Load.Relays += n.Load.Relays
		c.Capacity.Viewers += n.Capacity.Viewers
		c.Capacity.Mbps += n.Capacity.Mbps
	}
	return c
}
