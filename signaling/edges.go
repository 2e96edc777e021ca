package signaling

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sluice-live/sluice"
)

// EdgeTTL is how long an edge counts without being announced again.
const EdgeTTL = 15 * time.Second

// Edge is a node that has a stream: its origin, or one that relays it.
type Edge struct {
	Node    string `json:"node"`
	URL     string `json:"url"`
	Region  string `json:"region"`
	Depth   int    `json:"depth"` // hops from the origin
	Free    int    `json:"free"`  // nodes that may still pull the stream from there
	Viewers int    `json:"viewers"`
	Lease   uint64 `json:"lease"` // generation of the origin's lease
}

func edgesKey(stream string) string { return "sluice:{" + stream + "}:edges" }

// announceLua: KEYS edges; ARGV node, value, ms. A value is preceded by the time
// of the announcement, on Redis's clock.
const announceLua = `
local now = redis.call('TIME')
local ms = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', ms) .. ' ' .. ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
`

// edgesLua: KEYS edges; ARGV most, ms. It answers a random choice of them and
// takes away those of it that are out of date.
const edgesLua = `
local now = redis.call('TIME')
local ms = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
local flat = redis.call('HRANDFIELD', KEYS[1], ARGV[1], 'WITHVALUES')
local out = {}
for i = 1, #flat, 2 do
  local at = string.match(flat[i + 1], '^(%d+) ')
  if at and ms - tonumber(at) < tonumber(ARGV[2]) then
    out[#out + 1] = string.sub(flat[i + 1], #at + 2)
  else
    redis.call('HDEL', KEYS[1], flat[i])
  end
end
return out
`

// SetURL says where others reach this node, once that is known.
func (r *Registry) SetURL(url string) {
	r.url.Store(&url)
	r.Beat()
}

// URL is what SetURL was told.
func (r *Registry) URL() string { return *r.url.Load() }

// Announce says that this node has a stream. It holds for EdgeTTL. The node's
// id, region and URL are filled in.
func (r *Registry) Announce(ctx context.Context, stream string, e Edge) error {
	e.Node, e.URL, e.Region = r.cfg.NodeID, *r.url.Load(), r.cfg.Region
	value, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("announce edge: %w", err)
	}
	return r.call(ctx, "announce edge", func(ctx context.Context) error {
		return r.client.Eval(ctx, announceLua, []string{edgesKey(stream)}, r.cfg.NodeID, value, EdgeTTL.Milliseconds()).Err()
	})
}

// Withdraw takes an announcement back.
func (r *Registry) Withdraw(ctx context.Context, stream string) error {
	return r.call(ctx, "withdraw edge", func(ctx context.Context) error {
		return r.client.HDel(ctx, edgesKey(stream), r.cfg.NodeID).Err()
	})
}

// Edges returns nodes that have a stream: all of them, or most of a random choice.
// Errors: CodeInvalid, CodeUnavailable.
func (r *Registry) Edges(ctx context.Context, stream string, most int) ([]Edge, error) {
	if err := sluice.CheckStreamName(stream); err != nil {
		return nil, err
	}
	var values []string
	err := r.call(ctx, "list edges", func(ctx context.Context) (err error) {
		values, err = r.client.Eval(ctx, edgesLua, []string{edgesKey(stream)}, most, EdgeTTL.Milliseconds()).StringSlice()
		return err
	})
	if err != nil {
		return nil, err
	}
	edges := make([]Edge, 0, len(values))
	for _, value := range values {
		var e Edge
		if json.Unmarshal([]byte(value), &e) != nil || checkNodeID(e.Node) != nil || e.Depth < 0 {
			continue // not written by a node of ours
		}
		edges = append(edges, e)
	}
	return edges, nil
}

// NodeURL returns where a node is reached. Errors: CodeNotFound, CodeUnavailable.
func (r *Registry) NodeURL(ctx context.Context, id string) (string, error) {
	var url string
	err := r.call(ctx, "look up node", func(ctx context.Context) (err error) {
		url, err = r.client.HGet(ctx, nodeKey(id), "url").Result()
		return err
	})
	if err == nil && url == "" {
		err = sluice.Errorf(sluice.CodeNotFound, "node %q is not there, or does not say where", id)
	}
	return url, err
}

const (
	secretKey = "sluice:secret"
	apiKeyKey = "sluice:apikey"
)

// Secret returns the secret that the nodes of the cluster share to sign what they
// ask of each other. When there is none, it becomes mine: a new one, or the one
// that Redis knew before it lost its data. Errors: CodeUnavailable.
func (r *Registry) Secret(ctx context.Context, mine string) (string, error) {
	var known *redis.StringCmd
	err := r.call(ctx, "read the cluster's secret", func(ctx context.Context) error {
		_, err := r.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			p.SetNX(ctx, secretKey, mine, 0)
			known = p.Get(ctx, secretKey)
			return nil
		})
		return err
	})
	if err != nil {
		return "", err
	}
	return known.Val(), nil
}

// ShareKey returns the API key that the nodes of this Redis share, as its name and
// its secret. When there is none, it becomes mine.
func ShareKey(ctx context.Context, client redis.UniversalClient, mine string) (string, error) {
	if err := client.SetNX(ctx, apiKeyKey, mine, 0).Err(); err != nil {
		return "", fmt.Errorf("signaling: share the API key: %w", err)
	}
	theirs, err := client.Get(ctx, apiKeyKey).Result()
	if err != nil {
		return "", fmt.Errorf("signaling: read the API key: %w", err)
	}
	return theirs, nil
}

// ShareKey is ShareKey for a node that has begun. Errors: CodeUnavailable.
func (r *Registry) ShareKey(ctx context.Context, mine string) (theirs string, err error) {
	err = r.call(ctx, "share the API key", func(ctx context.Context) (err error) {
		theirs, err = ShareKey(ctx, r.client, mine)
		return err
	})
	return theirs, err
}
