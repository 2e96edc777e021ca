package signaling

import (
	"context"
	"fmt"
	"hash/fnv"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// journalBuckets is into how many slots the rooms are dealt out: each costs
	// a node one connection that waits for records.
	journalBuckets = 16
	// journalRecords is how many records of a room Redis keeps, about.
	journalRecords = 512
	// journalMemory is how many of them a node remembers, and gives back to a
	// Redis that has lost them.
	journalMemory = 128
	// journalSeen is how many places a node remembers to deliver nothing twice.
	journalSeen = 2 * journalRecords
	// journalTTL is how long Redis keeps the log of a room without records.
	journalTTL = 24 * time.Hour
	// journalBlock is how long one read waits for records.
	journalBlock = callTimeout / 2
	// journalPatience is how much longer it may take: nobody waits for it, and a
	// busy machine is no reason to take Redis for gone.
	journalPatience = 2 * time.Second
	// journalPause rests between attempts while Redis is away.
	journalPause = 100 * time.Millisecond
	// journalSettle is how long nothing is published after Redis is back, so
	// that every node can give back what Redis has lost.
	journalSettle = 2 * callTimeout
	// presenceTTL is how long a node's word about a room counts.
	presenceTTL = 30 * time.Second
)

// Journal is the log of each room that all nodes share: Redis gives each record
// its place, and every node that follows the room gets every record in that
// order, its own too. Close it before the client.
type Journal struct {
	client  redis.UniversalClient
	node    string
	log     *slog.Logger
	restore *redis.Script
	cancel  context.CancelFunc
	ctx     context.Context // ends with the journal
	running sync.WaitGroup
	buckets [journalBuckets]bucket
}

// NewJournal makes a journal for the node of that id. The caller keeps client,
// and closes it after the journal.
func NewJournal(client redis.UniversalClient, node string, log *slog.Logger) (*Journal, error) {
	if err := checkNodeID(node); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	j := &Journal{client: client, node: node, log: log, ctx: ctx, cancel: cancel, restore: redis.NewScript(restoreLua)}
	for i := range j.buckets {
		b := &j.buckets[i]
		b.journal, b.name = j, fmt.Sprintf("b%02d", i)
		b.followers, b.more = map[*follower]struct{}{}, make(chan struct{}, 1)
	}
	return j, nil
}

// Close ends all following and returns when no delivery is under way.
func (j *Journal) Close() {
	j.cancel()
	j.running.Wait()
}

func (j *Journal) bucket(room string) *bucket {
	h := fnv.New32a()
	_, _ = h.Write([]byte(room)) // a hash takes everything
	return &j.buckets[h.Sum32()%journalBuckets]
}

func (b *bucket) key(room string) string  { return "sluice:chat:{" + b.name + "}:" + room }
func (b *bucket) here(room string) string { return b.key(room) + ":here" }
func (b *bucket) wakeKey() string         { return "sluice:chat-wake:{" + b.name + "}:" + b.journal.node }

// Publish appends a record to the log of a room. Errors are CodeUnavailable:
// the record may be in the log all the same when Redis answered too late.
func (j *Journal) Publish(ctx context.Context, room string, data []byte) error {
	b := j.bucket(room)
	if err := b.usable(); err != nil {
		return unavailable("publish", err)
	}
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	key := b.key(room)
	_, err := j.client.Pipelined(limited, func(p redis.Pipeliner) error {
		p.XAdd(limited, &redis.XAddArgs{Stream: key, MaxLen: journalRecords, Approx: true, Values: []any{"d", data}})
		if b.extend(room) {
			p.PExpire(limited, key, journalTTL)
		}
		return nil
	})
	if err == nil {
		return nil
	}
	if ctx.Err() == nil && !answered(err) {
		b.suspect.Store(true)
	}
	return unavailable("publish", err)
}

// Beat tells the nodes that follow a room what this one has to say of it, nil
// for nothing more, and returns what all of them say, this one included.
func (j *Journal) Beat(ctx context.Context, room string, mine []byte) ([][]byte, error) {
	b := j.bucket(room)
	if err := b.usable(); err != nil {
		return nil, unavailable("presence", err)
	}
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	key, now := b.here(room), time.Now()
	var all *redis.MapStringStringCmd
	_, err := j.client.Pipelined(limited, func(p redis.Pipeliner) error {
		if mine == nil {
			p.HDel(limited, key, j.node)
		} else {
			p.HSet(limited, key, j.node, strconv.FormatInt(now.UnixMilli(), 10)+":"+string(mine))
			p.PExpire(limited, key, presenceTTL)
		}
		all = p.HGetAll(limited, key)
		return nil
	})
	if err != nil {
		return nil, unavailable("presence", err)
	}
	var said [][]byte
	for _, word := range all.Val() {
		at, text, _ := strings.Cut(word, ":")
		ms, err := strconv.ParseInt(at, 10, 64)
		if err == nil && now.Sub(time.UnixMilli(ms)).Abs() < presenceTTL {
			said = append(said, []byte(text))
		}
	}
	return said, nil
}

// Follow calls deliver for the records that the log of a room holds, and then
// for each new one, in the order of their places and from one goroutine; a
// place is a string that sorts so. Records that a Redis without memory has got
// back from another node may come late. caughtUp is called once, when the log
// was read for the first time. The returned function ends it, and waits for a
// call under way; deliver must not call it.
func (j *Journal) Follow(room string, deliver func(place string, at time.Time, data []byte), caughtUp func()) (stop func()) {
	b := j.bucket(room)
	f := &follower{room: room, deliver: deliver, caughtUp: caughtUp, seen: map[string]struct{}{}}
	b.add(f)
	return func() { b.remove(f) }
}
