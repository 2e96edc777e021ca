package chat

import "time"

// item is a frame that is due to all members.
type item struct {
	frame   []byte
	message bool
	from    *member // gets mine instead; nil: nobody
	mine    []byte
}

// queue makes a frame due to all members.
func (r *room) queue(i item) {
	if len(r.members) == 0 {
		return
	}
	if i.from != nil {
		i.from.own = true
	}
	r.due = append(r.due, i)
}

// send sends what is due, at once when the last time is a tick ago, and else at
// the end of the tick.
func (r *room) send() {
	now := time.Now()
	if len(r.due) == 0 || !r.flush.due(now) {
		return
	}
	r.flush.done(now, r.hub.config.Tick)
	frames := make([][]byte, len(r.due))
	messages := uint64(0)
	for i, d := range r.due {
		frames[i] = d.frame
		if d.message {
			messages++
		}
	}
	packets := pack(frames)
	// A member that is put out leaves its place to the last one, hence backwards.
	for i := len(r.members) - 1; i >= 0; i-- {
		m := r.members[i]
		all := packets
		if m.own || m.fresh {
			all = pack(r.framesFor(m))
		}
		m.own, m.fresh, m.skip = false, false, 0
		for _, p := range all {
			if r.tell(m, p); m.index < 0 {
				break
			}
		}
		r.hub.counters.out.Add(messages)
	}
	r.due = nil
}

// framesFor lists what is due to one member.
func (r *room) framesFor(m *member) [][]byte {
	var frames [][]byte
	for _, d := range r.due[m.skip:] {
		if d.from == m {
			frames = append(frames, d.mine)
		} else {
			frames = append(frames, d.frame)
		}
	}
	return frames
}
