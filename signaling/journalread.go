package signaling

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// bucket is the rooms that share a slot, and the reader of their logs.
type bucket struct {
	journal *Journal
	name    string
	away    atomic.Bool   // Redis does not answer
	suspect atomic.Bool   // Redis may have been away: it has to be looked at
	settled atomic.Int64  // Unix milliseconds from when publishing is allowed again
	more    chan struct{} // there are more followers

	mu        sync.Mutex
	followers map[*follower]struct{}
	started   bool
}

// follower is one who follows a room.
type follower struct {
	room     string
	deliver  func(place string, at time.Time, data []byte)
	caughtUp func()
	extended time.Time // when the log's expiry was set; guarded by bucket.mu

	// What follows belongs to the reader.
	primed bool
	first  redisID // what is before it was there too early to be delivered
	last   redisID
	recent []redis.XMessage
	seen   map[string]struct{}
	order  []string // of seen, oldest first

	mu      sync.Mutex // held while deliver runs
	stopped bool
}

// usable says why nothing can be published now, or nil.
func (b *bucket) usable() error {
	switch {
	case b.journal.ctx.Err() != nil:
		return errors.New("the node is closing")
	case b.away.Load():
		return errors.New("redis does not answer")
	case time.Now().UnixMilli() < b.settled.Load():
		return errors.New("redis is back, and the nodes give back what it may have lost")
	}
	return nil
}

// extend reports whether the expiry of a room's log is to be set.
func (b *bucket) extend(room string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for f := range b.followers {
		if f.room != room {
			continue
		}
		if time.Since(f.extended) < time.Minute {
			return false
		}
		f.extended = time.Now()
	}
	return true
}

func (b *bucket) add(f *follower) {
	b.mu.Lock()
	b.followers[f] = struct{}{}
	start := !b.started
	b.started = true
	b.mu.Unlock()
	if start {
		b.journal.running.Go(b.run)
		return
	}
	select {
	case b.more <- struct{}{}:
	default:
	}
	// The reader may be waiting in Redis for records of the rooms that it knows.
	ctx, cancel := context.WithTimeout(b.journal.ctx, callTimeout)
	defer cancel()
	_, _ = b.journal.client.Pipelined(ctx, func(p redis.Pipeliner) error { // without it the reader comes a little later
		p.XAdd(ctx, &redis.XAddArgs{Stream: b.wakeKey(), MaxLen: 1, Values: []any{"w", ""}})
		p.PExpire(ctx, b.wakeKey(), journalTTL)
		return nil
	})
}

func (b *bucket) remove(f *follower) {
	b.mu.Lock()
	delete(b.followers, f)
	b.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopped = true
}

func (b *bucket) all() []*follower {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]*follower, 0, len(b.followers))
	for f := range b.followers {
		all = append(all, f)
	}
	return all
}

// run reads the logs of all rooms of the bucket until the journal closes.
func (b *bucket) run() {
	ctx, wake := b.journal.ctx, "0-0"
	for ctx.Err() == nil {
		followers := b.all()
		if len(followers) == 0 {
			select {
			case <-b.more:
			case <-ctx.Done():
			}
			continue
		}
		err := b.read(ctx, followers, &wake)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			continue
		}
		if !b.away.Swap(true) {
			b.journal.log.Error("chat cannot use redis", "err", err)
		}
		timer := time.NewTimer(journalPause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// read brings new followers up to date, sees to a Redis that has been away, and
// waits for records once.
func (b *bucket) read(ctx context.Context, followers []*follower, wake *string) error {
	if b.away.Load() || b.suspect.Swap(false) {
		if err := b.recover(ctx, followers); err != nil {
			return err
		}
	}
	keys := []string{b.wakeKey()}
	ids := []string{*wake}
	for _, f := range followers {
		if !f.primed {
			if err := b.prime(ctx, f); err != nil {
				return err
			}
		}
		keys, ids = append(keys, b.key(f.room)), append(ids, f.last.String())
	}
	limited, cancel := context.WithTimeout(ctx, journalBlock+journalPatience)
	defer cancel()
	streams, err := b.journal.client.XRead(limited, &redis.XReadArgs{Streams: append(keys, ids...), Block: journalBlock}).Result()
	if errors.Is(err, redis.Nil) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read records: %w", err)
	}
	for _, s := range streams {
		if s.Stream == b.wakeKey() {
			*wake = s.Messages[len(s.Messages)-1].ID
			continue
		}
		for _, f := range followers {
			if b.key(f.room) != s.Stream {
				continue
			}
			if f.take(s.Messages) {
				if err := b.reread(ctx, f); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// prime delivers the newest records of a log.
func (b *bucket) prime(ctx context.Context, f *follower) error {
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	records, err := b.journal.client.XRevRangeN(limited, b.key(f.room), "+", "-", journalMemory).Result()
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	slices.Reverse(records)
	if len(records) > 0 {
		f.first = redisIDOf(records[0])
	}
	f.take(records)
	f.primed = true
	f.caughtUp()
	return nil
}

// reread reads the whole log of a room and delivers what is new.
func (b *bucket) reread(ctx context.Context, f *follower) error {
	limited, cancel := context.WithTimeout(ctx, journalPatience)
	defer cancel()
	records, err := b.journal.client.XRange(limited, b.key(f.room), "-", "+").Result()
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	f.take(records)
	return nil
}

// recover gives a Redis that was away back what it may have lost.
func (b *bucket) recover(ctx context.Context, followers []*follower) error {
	asked, lost := 0, 0
	for _, f := range followers {
		if len(f.recent) == 0 {
			continue
		}
		args := []any{b.journal.node, journalTTL.Milliseconds()}
		for _, r := range f.recent {
			args = append(args, r.ID, r.Values["d"])
		}
		limited, cancel := context.WithTimeout(ctx, journalPatience)
		n, err := b.journal.restore.Run(limited, b.journal.client, []string{b.key(f.room)}, args...).Int()
		cancel()
		if err != nil {
			return fmt.Errorf("give records back: %w", err)
		}
		asked++
		if lost += n; n > 0 {
			b.journal.log.Warn("redis has lost records of the chat and got them back", "stream", f.room, "records", n)
		}
	}
	// The others need time for this as well: a record of before must not come
	// after a new one. A Redis that was only slow has lost nothing.
	if lost > 0 || asked == 0 {
		b.settled.Store(time.Now().Add(journalSettle).UnixMilli())
	}
	if b.away.Swap(false) {
		b.journal.log.Info("chat can use redis again")
	}
	return nil
}

// take delivers the records that the follower has not seen. It reports whether
// one of them says that the log has got older records back.
func (f *follower) take(records []redis.XMessage) (restored bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range records {
		id, err := parseRedisID(r.ID)
		if err != nil || id.less(f.first) || !f.note(r.ID) {
			continue
		}
		if f.last.less(id) {
			f.last = id
		}
		data, ok := r.Values["d"].(string)
		if !ok {
			restored = restored || f.primed
			continue
		}
		f.remember(r)
		if !f.stopped {
			f.deliver(id.place(), time.UnixMilli(int64(id.ms)).UTC(), []byte(data))
		}
	}
	return restored
}

// note reports whether a record is new.
func (f *follower) note(id string) bool {
	if _, known := f.seen[id]; known {
		return false
	}
	f.seen[id] = struct{}{}
	f.order = append(f.order, id)
	if len(f.order) > journalSeen {
		delete(f.seen, f.order[0])
		f.order = f.order[1:]
	}
	return true
}

// remember keeps the newest records, by place.
func (f *follower) remember(r redis.XMessage) {
	f.recent = append(f.recent, r)
	if n := len(f.recent); n > 1 && !redisIDOf(f.recent[n-2]).less(redisIDOf(r)) {
		slices.SortFunc(f.recent, func(a, b redis.XMessage) int { return redisIDOf(a).compare(redisIDOf(b)) })
	}
	if len(f.recent) > journalMemory {
		f.recent = slices.Clone(f.recent[1:])
	}
}

// redisID is the id of a stream record: milliseconds and a number.
type redisID struct{ ms, seq uint64 }

func parseRedisID(text string) (redisID, error) {
	ms, seq, ok := strings.Cut(text, "-")
	m, err1 := strconv.ParseUint(ms, 10, 63)
	s, err2 := strconv.ParseUint(seq, 10, 64)
	if err := errors.Join(err1, err2); err != nil || !ok {
		return redisID{}, fmt.Errorf("%q is no id of a record", text)
	}
	return redisID{m, s}, nil
}

func redisIDOf(r redis.XMessage) redisID {
	id, _ := parseRedisID(r.ID) // it was parsed before
	return id
}

func (i redisID) compare(other redisID) int {
	if c := cmp.Compare(i.ms, other.ms); c != 0 {
		return c
	}
	return cmp.Compare(i.seq, other.seq)
}

func (i redisID) less(other redisID) bool { return i.compare(other) < 0 }

func (i redisID) String() string {
	return strconv.FormatUint(i.ms, 10) + "-" + strconv.FormatUint(i.seq, 10)
}

// place is the id as a string that sorts.
func (i redisID) place() string { return fmt.Sprintf("%013d-%06d", i.ms, i.seq) }

// restoreLua: KEYS log; ARGV node, expiry ms, then id and data of records. It
// puts those that are missing in their place, tells the followers by a record
// without data, and answers how many there were.
const restoreLua = `
local rows, have = {}, {}
for _, r in ipairs(redis.call('XRANGE', KEYS[1], '-', '+')) do
  have[r[1]] = true
  rows[#rows + 1] = {r[1], r[2]}
end
local missing = 0
for i = 3, #ARGV, 2 do
  if not have[ARGV[i]] then
    missing = missing + 1
    rows[#rows + 1] = {ARGV[i], {'d', ARGV[i + 1]}}
  end
end
if missing == 0 then return 0 end
local function parts(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end
table.sort(rows, function(a, b)
  local am, as = parts(a[1])
  local bm, bs = parts(b[1])
  if am ~= bm then return am < bm end
  return as < bs
end)
redis.call('DEL', KEYS[1])
for _, r in ipairs(rows) do
  redis.call('XADD', KEYS[1], r[1], unpack(r[2]))
end
redis.call('XADD', KEYS[1], '*', 'restored', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return missing
`
