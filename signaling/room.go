package signaling

import (
	"context"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sluice-live/sluice"
)

// Room is one show of a stream as LiveKit's webhooks have it: from its first publisher to the
// end of the grace time after its last, whichever nodes those were on.
type Room struct {
	Stream  string
	SID     string    // unique; "" when the stream has none
	Started time.Time // to the millisecond
}

const (
	// roomsKey lists rooms by when they are over unless somebody keeps them.
	roomsKey = "sluice:rooms"
	// roomOver is how long it is remembered that the end of a room has been told.
	roomOver = time.Minute
	// roomSlack is how long a record outlives the time when its room is over.
	roomSlack = 10 * time.Minute
	// roomBatch is how many rooms are looked at in one exchange.
	roomBatch = 100
)

func roomKey(stream string) string { return "sluice:{" + stream + "}:room" }

// The scripts answer {sid, started} when the caller is to go on, and else nothing.

// openRoomLua: KEYS room; ARGV sid, started, ms. It answers the room that there is
// afterwards, and whether it began.
const openRoomLua = `
local r = redis.call('HMGET', KEYS[1], 'sid', 'started', 'over')
local began = '0'
if not r[1] or r[3] then
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'sid', ARGV[1], 'started', ARGV[2])
  r, began = {ARGV[1], ARGV[2]}, '1'
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {r[1], r[2], began}
`

// keepRoomLua: KEYS room; ARGV sid, started, ms. A room that Redis has lost is
// written again.
const keepRoomLua = `
local r = redis.call('HMGET', KEYS[1], 'sid', 'over')
if r[1] and (r[1] ~= ARGV[1] or r[2]) then return {} end
redis.call('HSET', KEYS[1], 'sid', ARGV[1], 'started', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {ARGV[1], ARGV[2]}
`

// endRoomLua: KEYS room, lease; ARGV node that may hold the lease, sid, started, ms.
// A room that Redis has lost is over too for who knows it; "" is nobody.
const endRoomLua = `
local owner = redis.call('HGET', KEYS[2], 'owner')
if owner and owner ~= ARGV[1] then return {} end
local r = redis.call('HMGET', KEYS[1], 'sid', 'started', 'over')
if r[3] or r[1] and ARGV[2] ~= '' and r[1] ~= ARGV[2] then return {} end
if not r[1] then
  if ARGV[2] == '' then return {} end
  r = {ARGV[2], ARGV[3]}
end
redis.call('HSET', KEYS[1], 'sid', r[1], 'started', r[2], 'over', '1')
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return {r[1], r[2]}
`

// dueRoomLua: KEYS rooms; ARGV ms from now, a stream. It notes when the room is over.
const dueRoomLua = `
local now = redis.call('TIME')
redis.call('ZADD', KEYS[1], tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000) + tonumber(ARGV[1]), ARGV[2])
return 1
`

// takeRoomsLua: KEYS rooms; ARGV most. It answers rooms that are over, and takes
// them off the list.
const takeRoomsLua = `
local now = redis.call('TIME')
local ms = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', ms), 'LIMIT', '0', ARGV[1])
for _, stream in ipairs(due) do redis.call('ZREM', KEYS[1], stream) end
return due
`

// OpenRoom returns the room of a stream that has a publisher here, and whether it
// begins with it: mine, then. Nobody else gets that answer. The room is over when it is not
// kept for that long. Errors: CodeUnavailable.
func (r *Registry) OpenRoom(ctx context.Context, mine Room, lasts time.Duration) (room Room, began bool, err error) {
	var fields []string
	err = r.call(ctx, "open room", func(ctx context.Context) (err error) {
		fields, err = r.client.Eval(ctx, openRoomLua, []string{roomKey(mine.Stream)}, mine.SID, mine.Started.UnixMilli(), (lasts + roomSlack).Milliseconds()).StringSlice()
		if err != nil {
			return err
		}
		return r.client.Eval(ctx, dueRoomLua, []string{roomsKey}, lasts.Milliseconds(), mine.Stream).Err()
	})
	if err != nil {
		return mine, false, err
	}
	room, _ = readRoom(mine.Stream, fields)
	return room, len(fields) == 3 && fields[2] == "1", nil
}

// KeepRooms says that rooms are not over for that long, and returns those that are:
// others have told of their end. Errors: CodeUnavailable.
func (r *Registry) KeepRooms(ctx context.Context, rooms []Room, lasts time.Duration) (over []Room, err error) {
	for len(rooms) > 0 {
		some := rooms[:min(roomBatch, len(rooms))]
		rooms = rooms[len(some):]
		answers := make([]*redis.Cmd, len(some))
		err := r.call(ctx, "keep rooms", func(ctx context.Context) error {
			_, err := r.client.Pipelined(ctx, func(p redis.Pipeliner) error {
				for i, room := range some {
					answers[i] = p.Eval(ctx, keepRoomLua, []string{roomKey(room.Stream)}, room.SID, room.Started.UnixMilli(), (lasts + roomSlack).Milliseconds())
					p.Eval(ctx, dueRoomLua, []string{roomsKey}, lasts.Milliseconds(), room.Stream)
				}
				return nil
			})
			return err
		})
		if err != nil {
			return over, err
		}
		for i, room := range some {
			if fields, err := answers[i].StringSlice(); err == nil && len(fields) == 0 {
				over = append(over, room)
			}
		}
	}
	return over, nil
}

// EndRoom ends a room that this node has opened, unless another node has the stream
// or has told of the end already: only who gets true tells of it. Errors:
// CodeUnavailable.
func (r *Registry) EndRoom(ctx context.Context, room Room) (ended bool, err error) {
	_, ended, err = r.endRoom(ctx, r.cfg.NodeID, room)
	return ended, err
}

// EndLeftRooms ends rooms that nobody has kept, since their nodes have died, and
// returns them for this node to tell of. Errors: CodeUnavailable.
func (r *Registry) EndLeftRooms(ctx context.Context) (ended []Room, err error) {
	var due []string
	err = r.call(ctx, "find rooms that are over", func(ctx context.Context) (err error) {
		due, err = r.client.Eval(ctx, takeRoomsLua, []string{roomsKey}, roomBatch).StringSlice()
		return err
	})
	for _, stream := range due {
		if sluice.CheckStreamName(stream) != nil {
			continue // not written by a node of ours
		}
		room, over, failed := r.endRoom(ctx, "", Room{Stream: stream})
		switch {
		case failed != nil:
			err = failed
		case over:
			ended = append(ended, room)
		}
	}
	return ended, err
}

func (r *Registry) endRoom(ctx context.Context, holder string, room Room) (Room, bool, error) {
	var fields []string
	err := r.call(ctx, "end room", func(ctx context.Context) (err error) {
		keys := []string{roomKey(room.Stream), leaseKeys(room.Stream)[0]}
		fields, err = r.client.Eval(ctx, endRoomLua, keys, holder, room.SID, room.Started.UnixMilli(), roomOver.Milliseconds()).StringSlice()
		return err
	})
	if err != nil {
		return room, false, err
	}
	room, ok := readRoom(room.Stream, fields)
	return room, ok, nil
}

// LookupRoom returns the room of a stream, without an SID when it has none. One that
// is over is still known for a while. Errors: CodeUnavailable.
func (r *Registry) LookupRoom(ctx context.Context, stream string) (Room, error) {
	var values []any
	err := r.call(ctx, "look up room", func(ctx context.Context) (err error) {
		values, err = r.client.HMGet(ctx, roomKey(stream), "sid", "started").Result()
		return err
	})
	if err != nil || len(values) != 2 {
		return Room{Stream: stream}, err
	}
	sid, _ := values[0].(string)
	started, _ := values[1].(string)
	room, _ := readRoom(stream, []string{sid, started})
	return room, nil
}

// readRoom returns the room of a script's answer, if there is one.
func readRoom(stream string, fields []string) (Room, bool) {
	if len(fields) < 2 || fields[0] == "" {
		return Room{Stream: stream}, false
	}
	ms, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return Room{Stream: stream}, false
	}
	return Room{Stream: stream, SID: fields[0], Started: time.UnixMilli(ms)}, true
}
