package signaling

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/livekit/protocol/livekit"
	"github.com/redis/go-redis/v9"
	"google.golang.org/protobuf/proto"
)

// Load is what a node carries.
type Load struct {
	Streams int
	Viewers int
}

// Node is what a node says of itself.
type Node struct {
	ID       string
	Region   string
	URL      string
	Draining bool // takes no new work
	CPUs     int
	Load     Load
	Started  time.Time
	Seen     time.Time // its last heartbeat, by its own clock
}

func checkNodeID(id string) error {
	ok := len(id) >= 1 && len(id) <= 64
	for i := range len(id) {
		c := id[i]
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-')
	}
	if !ok {
		return fmt.Errorf("signaling: node id %q is not 1 to 64 letters, digits, '.', '_' and '-'", id)
	}
	return nil
}

// Nodes returns all nodes that gave a sign of life, by id. A record that cannot
// be read is left out. Errors: CodeUnavailable.
func (r *Registry) Nodes(ctx context.Context) ([]Node, error) {
	var records map[string]*redis.MapStringStringCmd
	err := r.call(ctx, "list nodes", func(ctx context.Context) error {
		ids, err := r.client.SMembers(ctx, nodesKey).Result()
		if err != nil || len(ids) == 0 {
			return err
		}
		records = make(map[string]*redis.MapStringStringCmd, len(ids))
		_, err = r.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, id := range ids {
				records[id] = p.HGetAll(ctx, nodeKey(id))
			}
			return nil
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	nodes, dead := make([]Node, 0, len(records)), []any{}
	for id, record := range records {
		fields := record.Val()
		if len(fields) == 0 {
			dead = append(dead, id)
			continue
		}
		node, err := decodeNode(id, fields)
		if err != nil {
			r.log.Warn("node record cannot be read", "err", err)
			continue
		}
		nodes = append(nodes, node)
	}
	slices.SortFunc(nodes, func(a, b Node) int { return strings.Compare(a.ID, b.ID) })
	if len(dead) == 0 {
		return nodes, nil
	}
	// A node that is only late adds itself again at its next heartbeat.
	return nodes, r.call(ctx, "remove dead nodes", func(ctx context.Context) error {
		return r.client.SRem(ctx, nodesKey, dead...).Err()
	})
}

func (r *Registry) writeNode(ctx context.Context) error {
	fields, err := encodeNode(Node{
		ID:       r.cfg.NodeID,
		Region:   r.cfg.Region,
		URL:      *r.url.Load(),
		Draining: r.draining.Load(),
		CPUs:     runtime.GOMAXPROCS(0),
		Load:     r.cfg.Load(),
		Started:  r.started,
		Seen:     time.Now(),
	})
	if err != nil {
		return err
	}
	return r.try(ctx, "write node record", func(ctx context.Context) error {
		_, err := r.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			p.HSet(ctx, nodeKey(r.cfg.NodeID), fields...)
			p.PExpire(ctx, nodeKey(r.cfg.NodeID), 2*r.cfg.LeaseTTL)
			p.SAdd(ctx, nodesKey, r.cfg.NodeID)
			return nil
		})
		return err
	})
}

func encodeNode(n Node) ([]any, error) {
	state := livekit.NodeState_SERVING
	if n.Draining {
		state = livekit.NodeState_SHUTTING_DOWN
	}
	record, err := proto.Marshal(&livekit.Node{
		Id:      n.ID,
		Region:  n.Region,
		State:   state,
		NumCpus: uint32(count(n.CPUs)),
		Stats: &livekit.NodeStats{
			StartedAt:  n.Started.Unix(),
			UpdatedAt:  n.Seen.Unix(),
			NumRooms:   count(n.Load.Streams),
			NumClients: count(n.Load.Viewers),
		},
	})
	if err != nil {
		return nil, fmt.Errorf("encode node record: %w", err)
	}
	return []any{"record", record, "url", n.URL}, nil
}

func count(n int) int32 { return int32(min(max(n, 0), math.MaxInt32)) }

// decodeNode reads the record of node id, which another node has written.
func decodeNode(id string, fields map[string]string) (Node, error) {
	var record livekit.Node
	if err := proto.Unmarshal([]byte(fields["record"]), &record); err != nil {
		return Node{}, fmt.Errorf("node %q: %w", id, err)
	}
	if record.Id != id {
		return Node{}, fmt.Errorf("node %q: the record is of %q", id, record.Id)
	}
	if err := checkNodeID(id); err != nil {
		return Node{}, err
	}
	if record.Stats == nil {
		return Node{}, errors.New("node " + id + ": the record has no statistics")
	}
	return Node{
		ID:       record.Id,
		Region:   record.Region,
		URL:      fields["url"],
		Draining: record.State != livekit.NodeState_SERVING,
		CPUs:     int(record.NumCpus),
		Load:     Load{Streams: int(record.Stats.NumRooms), Viewers: int(record.Stats.NumClients)},
		Started:  time.Unix(record.Stats.StartedAt, 0),
		Seen:     time.Unix(record.Stats.UpdatedAt, 0),
	}, nil
}
