package signaling

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sluice-live/sluice"
)

const (
	// maxRecord is the longest node record that is read, in bytes.
	maxRecord = 8 << 10
	// regionTTL is how long a region is known after its last node.
	regionTTL = time.Hour

	regionsKey = "sluice:regions"
)

func nodeKey(id string) string       { return "sluice:node:{" + id + "}" }
func regionKey(region string) string { return "sluice:nodes:{" + region + "}" }

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

// writeLua: KEYS region; ARGV node, record, region ms. A record is preceded by the
// time of the heartbeat on Redis's clock, the only one that all nodes share.
const writeLua = `
local now = redis.call('TIME')
local ms = string.format('%.0f', tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000))
redis.call('HSET', KEYS[1], ARGV[1], ms .. ' ' .. ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
`

// readLua: KEYS region; ARGV oldest ms, the one node that is wanted or ”, how many
// of a random choice or '0' for all.
// It answers ages and records in turn, and takes away what is out of date.
const readLua = `
local now = redis.call('TIME')
local ms = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
local flat
if ARGV[2] ~= '' then
  flat = {ARGV[2], redis.call('HGET', KEYS[1], ARGV[2]) or ''}
elseif ARGV[3] ~= '0' then
  flat = redis.call('HRANDFIELD', KEYS[1], ARGV[3], 'WITHVALUES')
else
  flat = redis.call('HGETALL', KEYS[1])
end
local out = {}
for i = 1, #flat, 2 do
  local at = string.match(flat[i + 1], '^(%d+) ')
  local age = at and ms - (tonumber(at) or 0)
  if at and age < tonumber(ARGV[1]) then
    out[#out + 1] = string.format('%.0f', math.max(age, 0))
    out[#out + 1] = string.sub(flat[i + 1], #at + 2)
  else
    redis.call('HDEL', KEYS[1], flat[i])
  end
end
return out
`

// recordTTL is how long a silent node counts as there.
func (r *Registry) recordTTL() time.Duration { return 2 * r.cfg.LeaseTTL }

// describe is what this node says of itself now.
func (r *Registry) describe() sluice.Node {
	n := Node{State: sluice.NodeServing}
	r.cfg.Describe(&n)
	n.ID, n.Region, n.URL = r.cfg.NodeID, r.cfg.Region, *r.url.Load()
	n.Started, n.Uptime = r.started.UTC(), time.Since(r.started).Seconds()
	return n
}

// Node is a node's record.
type Node = sluice.Node

// writeNode tells the others of this node, and takes orders for it.
func (r *Registry) writeNode(ctx context.Context) error {
	record, err := json.Marshal(r.describe())
	if err != nil {
		return fmt.Errorf("encode node record: %w", err)
	}
	id, region := r.cfg.NodeID, r.cfg.Region
	var order *redis.StringCmd
	err = r.try(ctx, "write node record", func(ctx context.Context) error {
		cmds, err := r.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			p.HSet(ctx, nodeKey(id), "region", region, "url", *r.url.Load())
			p.PExpire(ctx, nodeKey(id), r.recordTTL())
			order = p.GetDel(ctx, orderKey(id))
			p.Eval(ctx, writeLua, []string{regionKey(region)}, id, record, regionTTL.Milliseconds())
			p.SAdd(ctx, regionsKey, region)
			return nil
		})
		for _, c := range cmds {
			if c != redis.Cmder(order) && c.Err() != nil {
				return c.Err()
			}
		}
		if errors.Is(err, redis.Nil) || answered(err) {
			return nil // no order, or one that cannot be read
		}
		return err
	})
	if err == nil && order.Err() == nil {
		r.obey(order.Val())
	}
	return err
}

// Nodes returns all nodes that gave a sign of life, by id. A record that cannot
// be read is left out. Errors: CodeUnavailable.
func (r *Registry) Nodes(ctx context.Context) ([]Node, error) {
	var regions []string
	err := r.call(ctx, "list regions", func(ctx context.Context) (err error) {
		regions, err = r.client.SMembers(ctx, regionsKey).Result()
		return err
	})
	if err != nil {
		return nil, err
	}
	regions = slices.DeleteFunc(regions, func(region string) bool { return checkNodeID(region) != nil })
	return r.nodesOf(ctx, regions, 0)
}

// NodesIn returns the nodes of a region that gave a sign of life, by id. Errors:
// CodeUnavailable.
func (r *Registry) NodesIn(ctx context.Context, region string) ([]Node, error) {
	return r.nodesOf(ctx, []string{region}, 0)
}

// SomeNodesIn is NodesIn for at most so many nodes, chosen at random.
func (r *Registry) SomeNodesIn(ctx context.Context, region string, most int) ([]Node, error) {
	return r.nodesOf(ctx, []string{region}, most)
}

func (r *Registry) nodesOf(ctx context.Context, regions []string, most int) ([]Node, error) {
	if len(regions) == 0 {
		return []Node{}, nil
	}
	answers := make([]*redis.Cmd, len(regions))
	err := r.call(ctx, "list nodes", func(ctx context.Context) error {
		_, err := r.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			for i, region := range regions {
				answers[i] = p.Eval(ctx, readLua, []string{regionKey(region)}, r.recordTTL().Milliseconds(), "", most)
			}
			return nil
		})
		if answered(err) {
			return nil // the list of one region is spoiled; the others count
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	nodes := []Node{}
	for i, region := range regions {
		fields, err := answers[i].StringSlice()
		if err != nil {
			r.log.Warn("nodes of a region cannot be read", "region", region, "err", err)
			continue
		}
		nodes = append(nodes, r.decodeNodes(region, fields)...)
	}
	slices.SortFunc(nodes, func(a, b Node) int { return strings.Compare(a.ID, b.ID) })
	return nodes, nil
}

// FindNode returns the node of that id. Errors: CodeNotFound, CodeUnavailable.
func (r *Registry) FindNode(ctx context.Context, id string) (Node, error) {
	absent := sluice.Errorf(sluice.CodeNotFound, "there is no such node")
	if checkNodeID(id) != nil {
		return Node{}, absent
	}
	var fields []string
	err := r.call(ctx, "look up node", func(ctx context.Context) error {
		region, err := r.client.HGet(ctx, nodeKey(id), "region").Result()
		if err != nil {
			return err
		}
		fields, err = r.client.Eval(ctx, readLua, []string{regionKey(region)}, r.recordTTL().Milliseconds(), id, 0).StringSlice()
		return err
	})
	if err != nil {
		return Node{}, err
	}
	for _, n := range r.decodeNodes("", fields) {
		if n.ID == id {
			return n, nil
		}
	}
	return Node{}, absent
}

// decodeNodes reads what readLua answers. region is where the nodes must be, ""
// for anywhere.
func (r *Registry) decodeNodes(region string, fields []string) []Node {
	nodes := make([]Node, 0, len(fields)/2)
	for i := 0; i+1 < len(fields); i += 2 {
		n, err := decodeNode(fields[i], fields[i+1])
		if err == nil && region != "" && n.Region != region {
			err = fmt.Errorf("node %s says that it is in %q", n.ID, n.Region)
		}
		if err != nil {
			r.log.Warn("node record cannot be read", "err", err)
			continue
		}
		nodes = append(nodes, n)
	}
	return nodes
}

// decodeNode reads a record, which another node has written, and its age in
// milliseconds.
func decodeNode(age, record string) (Node, error) {
	var n Node
	if len(record) > maxRecord {
		return n, fmt.Errorf("a node record of %d bytes", len(record))
	}
	if err := json.Unmarshal([]byte(record), &n); err != nil {
		return n, fmt.Errorf("node record: %w", err)
	}
	if err := checkNodeID(n.ID); err != nil {
		return n, err
	}
	ms, err := strconv.ParseUint(age, 10, 32)
	if err != nil {
		return n, fmt.Errorf("age of node %s: %w", n.ID, err)
	}
	n.Age = float64(ms) / 1000
	if n.State != sluice.NodeServing {
		n.State = sluice.NodeDraining
	}
	if n.Roles == nil {
		n.Roles = []string{}
	}
	return n, nil
}
