package signaling

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

const rollKey = "sluice:roll"

// rollLua: KEYS roll; ARGV how long this node has run, how long a roll lasts after
// a node has left; both in ms. It answers the age of the roll.
const rollLua = `
local now = redis.call('TIME')
local ms = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
local at = tonumber(redis.call('GET', KEYS[1]) or ms)
if ms - at > tonumber(ARGV[1]) then at = ms end
redis.call('SET', KEYS[1], string.format('%.0f', at), 'PX', ARGV[2])
return string.format('%.0f', math.max(ms - at, 0))
`

// Roll notes that this node leaves, and returns how long ago the first node of a
// rolling restart did: nodes that have run for less were restarted since. A roll
// is over when no node has left for that long, or when a node leaves that has been
// restarted in it: then a new one begins. Errors: CodeUnavailable.
func (r *Registry) Roll(ctx context.Context, over time.Duration) (age time.Duration, err error) {
	var text string
	err = r.call(ctx, "note that this node leaves", func(ctx context.Context) (err error) {
		text, err = r.client.Eval(ctx, rollLua, []string{rollKey}, time.Since(r.started).Milliseconds(), over.Milliseconds()).Text()
		return err
	})
	if err != nil {
		return 0, err
	}
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("age of a rolling restart: %w", err)
	}
	return time.Duration(ms) * time.Millisecond, nil
}
