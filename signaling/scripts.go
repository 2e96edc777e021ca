package signaling

import (
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// genTTL is how long a generation counter outlives its last lease.
const genTTL = 7 * 24 * time.Hour

func leaseKeys(name string) []string {
	stream, records := strings.CutSuffix(name, recording)
	if records {
		return []string{"sluice:{" + stream + "}:recorder", "sluice:{" + stream + "}:recgen"}
	}
	return []string{"sluice:{" + stream + "}:lease", "sluice:{" + stream + "}:gen"}
}

// The scripts answer {1, owner, generation} when the caller holds the lease
// afterwards, else {0, owner, generation, milliseconds left} of the one who does.
// Numbers travel as strings: a Lua number would be cut to an integer reply.

// acquireLua: KEYS lease, gen; ARGV owner, lease ms, counter ms, the other owner
// that it may be taken from.
const acquireLua = `
local held = redis.call('HMGET', KEYS[1], 'owner', 'gen')
if held[1] and held[1] ~= ARGV[1] and held[1] ~= ARGV[4] then
  return {'0', held[1], held[2], tostring(redis.call('PTTL', KEYS[1]))}
end
local now = redis.call('TIME')
local gen = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
local last = math.max(tonumber(redis.call('GET', KEYS[2]) or '0'), tonumber(held[2] or '0'))
if gen <= last then gen = last + 1 end
local g = string.format('%.0f', gen)
redis.call('SET', KEYS[2], g, 'PX', ARGV[3])
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'gen', g)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {'1', ARGV[1], g}
`

// renewLua: KEYS lease, gen; ARGV owner, generation, lease ms, counter ms. A
// lease that is gone is written again unless a later generation was given out.
const renewLua = `
local held = redis.call('HMGET', KEYS[1], 'owner', 'gen')
if held[1] then
  if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] then
    return {'0', held[1], held[2]}
  end
else
  local last = redis.call('GET', KEYS[2])
  if last and tonumber(last) > tonumber(ARGV[2]) then
    return {'0', '', last}
  end
  redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'gen', ARGV[2])
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[4])
return {'1', ARGV[1], ARGV[2]}
`

// releaseLua: KEYS lease, gen; ARGV owner, generation, counter ms. The counter
// moves on, so that a renewal which is still under way cannot bring the lease
// back.
const releaseLua = `
local held = redis.call('HMGET', KEYS[1], 'owner', 'gen')
if held[1] and (held[1] ~= ARGV[1] or held[2] ~= ARGV[2]) then
  return {'0', held[1], held[2]}
end
redis.call('DEL', KEYS[1])
local last = tonumber(redis.call('GET', KEYS[2]) or '0')
local next = tonumber(ARGV[2]) + 1
if last < next then
  redis.call('SET', KEYS[2], string.format('%.0f', next), 'PX', ARGV[3])
end
return {'1', '', ARGV[2]}
`

// verdict is a script's answer.
type verdict struct {
	mine  bool
	owner string
	gen   uint64
	left  time.Duration
}

func readVerdict(cmd *redis.Cmd) (verdict, error) {
	fields, err := cmd.StringSlice()
	if err != nil {
		return verdict{}, err
	}
	return parseVerdict(fields)
}
