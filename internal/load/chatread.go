package load

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// knownFrames is how many frames are remembered: most members get the same ones,
// and about at the same time.
const knownFrames = 64

// heard is a message of ours, or an error, in a frame.
type heard struct {
	id, ref, code string
	at            int64 // when it was said, Unix microseconds
}

// chatReaders reads the frames of all bots, each different one once. The zero
// value is ready.
type chatReaders struct {
	mu    sync.Mutex
	known map[string][]heard
	order []string // of known, oldest first
	delay histogram
}

// read returns what a frame holds of a run with that mark, and counts how long
// its messages took. What it returns must not be changed.
func (c *chatReaders) read(mark string, frame []byte, now int64) []heard {
	c.mu.Lock()
	defer c.mu.Unlock()
	all, ok := c.known[string(frame)]
	if !ok {
		all = parseHeard(mark, frame)
		c.remember(string(frame), all)
	}
	for _, h := range all {
		if h.id != "" {
			c.delay.add(time.Duration(now-h.at) * time.Microsecond)
		}
	}
	return all
}

func (c *chatReaders) remember(frame string, all []heard) {
	if c.known == nil {
		c.known = map[string][]heard{}
	}
	c.known[frame] = all
	c.order = append(c.order, frame)
	if len(c.order) > knownFrames {
		delete(c.known, c.order[0])
		c.order = slices.Delete(c.order, 0, 1)
	}
}

// delays returns what was counted.
func (c *chatReaders) delays() *histogram {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.delay
	return &d
}

// parseHeard reads a frame: an object or an array of them.
func parseHeard(mark string, frame []byte) []heard {
	if !bytes.Contains(frame, []byte(mark)) {
		return nil
	}
	if frame[0] != '[' {
		frame = slices.Concat([]byte("["), frame, []byte("]"))
	}
	var frames []struct{ Type, ID, Ref, Text, Code string }
	if json.Unmarshal(frame, &frames) != nil {
		return nil
	}
	var all []heard
	for _, f := range frames {
		switch f.Type {
		case "message":
			words := strings.Fields(f.Text)
			if len(words) != 3 || words[0] != mark {
				continue
			}
			at, err := strconv.ParseInt(words[2], 10, 64)
			if err == nil {
				all = append(all, heard{id: f.ID, ref: f.Ref, at: at})
			}
		case "error":
			all = append(all, heard{code: f.Code})
		}
	}
	return all
}

// take notes what a frame holds.
func (b *bot) take(frame []byte) {
	now := time.Now().UnixMicro()
	if bytes.Contains(frame[:min(len(frame), 32)], []byte(`"type":"welcome"`)) {
		b.once.Do(func() { close(b.joined) })
		return
	}
	all := b.run.readers.read(b.run.mark, frame, now)
	b.mu.Lock()
	b.frames++
	for _, h := range all {
		if h.id != "" {
			b.ids = append(b.ids, h.id)
		}
	}
	b.mu.Unlock() // the report holds the run's lock when it takes this one
	for _, h := range all {
		if h.ref != "" || h.code != "" {
			b.run.note(h)
		}
	}
}

// note takes what only the sender of a message is told.
func (r *chatRun) note(h heard) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if h.code != "" {
		r.refused[h.code]++
		return
	}
	r.confirmed[h.ref] = h.id
}
