package chat

import (
	"fmt"
	"time"
)

// Config sets the limits. The zero value of each field means its default.
type Config struct {
	Node       string        // id of this node, for what it alone knows
	Tick       time.Duration // at most one frame a tick to each member, if what is due fits; 100 ms
	History    int           // messages on joining; 50, negative: none
	FrameBytes int           // of a client's frame; 4096
	TextRunes  int           // of a message; 500
	Rate       float64       // messages a second of one member; 1
	Burst      int           // of these at once; 5
	RoomRate   float64       // messages a second of all members on this node; 200
	FrameRate  float64       // frames a second of one member, whatever they hold; 20
	Members    int           // of one room on this node; 20,000
	Retention  time.Duration // of messages that no recording holds; 30 days
	Linger     time.Duration // how long an empty room stays open; 30 s
	Secret     []byte        // keys the tags of addresses; the same on all nodes
}

const (
	// maxPacket is how long a frame of several messages gets, so that it fits
	// into one packet of the data channel.
	maxPacket = 1100
	// maxPage is the most messages of one history request.
	maxPage = 50
	// memory is how many messages of a room are in memory.
	memory = 256
	// refWindow is over how many messages a ref is known again.
	refWindow = 1024
	// refTime is for how long a ref is known again.
	refTime = 2 * time.Minute
	// maxRef is the longest ref, in bytes.
	maxRef = 64
	// maxPending is how many messages a member may have under way.
	maxPending = 64
	// maxBatch and maxBatchBytes bound one record.
	maxBatch      = 64
	maxBatchBytes = 32 << 10
	// maxWelcome bounds a welcome, in bytes: the history in it is shorter then. A
	// connection may take less.
	maxWelcome = 60 << 10
	// maxBan is the longest ban, maxSlow the longest slow mode, in seconds.
	maxBan  = 10 * 365 * 24 * 3600
	maxSlow = 3600
	// callTimeout bounds one call of the database or the bus.
	callTimeout = 500 * time.Millisecond
	// beatInterval is how often nodes tell each other their viewers.
	beatInterval = 2 * time.Second
	// sweepInterval is how often old messages are removed.
	sweepInterval = 10 * time.Minute
)

func (c Config) withDefaults() Config {
	set := func(v *int, def int) {
		if *v == 0 {
			*v = def
		}
	}
	if c.Tick == 0 {
		c.Tick = 100 * time.Millisecond
	}
	set(&c.History, 50)
	c.History = max(c.History, 0)
	set(&c.FrameBytes, 4096)
	set(&c.TextRunes, 500)
	set(&c.Burst, 5)
	set(&c.Members, 20_000)
	if c.Rate == 0 {
		c.Rate = 1
	}
	if c.RoomRate == 0 {
		c.RoomRate = 200
	}
	if c.FrameRate == 0 {
		c.FrameRate = 20
	}
	if c.Retention == 0 {
		c.Retention = 30 * 24 * time.Hour
	}
	if c.Linger == 0 {
		c.Linger = 30 * time.Second
	}
	return c
}

// Validate reports what is out of range.
func (c Config) Validate() error {
	c = c.withDefaults()
	switch {
	case c.Tick < 10*time.Millisecond || c.Tick > time.Second:
		return fmt.Errorf("chat: tick %s is not within 10 ms and 1 s", c.Tick)
	case c.History > memory:
		return fmt.Errorf("chat: a history of %d messages is over %d", c.History, memory)
	case c.FrameBytes < 256 || c.FrameBytes > 64<<10:
		return fmt.Errorf("chat: frames of %d bytes are not within 256 and 64 KiB", c.FrameBytes)
	case c.TextRunes < 1 || c.Rate < 0 || c.Burst < 1 || c.RoomRate < 0 || c.FrameRate < 0 || c.Members < 1:
		return fmt.Errorf("chat: a limit is below its least value")
	}
	return nil
}
