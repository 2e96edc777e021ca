package chat

import (
	"context"
	"encoding/json"
	"time"

	"github.com/sluice-live/sluice"
)

// word is what a node says of a room: how many watch there, and how the stream
// is if it is published there.
type word struct {
	Viewers  int    `json:"v"`           // whom the media plane counts, on this node
	Visitors int    `json:"n"`           // members who came by themselves
	Audience int    `json:"a,omitempty"` // viewers of all nodes, those without a room too, as it has been told
	State    string `json:"s,omitempty"`
	Since    int64  `json:"t,omitempty"` // Unix milliseconds
}

// here is how many watch as far as this node knows by itself: the media plane's
// viewers, and members who came by themselves.
func (r *room) here() int { return r.media.Viewers + r.visitors }

// look takes the stream's state on this node.
func (r *room) look() <-chan struct{} {
	snapshot, changed := r.hub.deps.Media.Stream(r.stream)
	was := r.media
	r.media = snapshot
	if was.State != snapshot.State {
		r.beat()
	}
	return changed
}

// beat tells the others what is here, and takes what they say.
func (r *room) beat() {
	if r.beating {
		return
	}
	r.beating = true
	mine := word{Viewers: r.hub.deps.Media.ViewersHere(r.stream), Visitors: r.visitors, Audience: r.media.Viewers}
	if r.media.State != sluice.StreamOffline || !r.media.Since.IsZero() {
		mine.State, mine.Since = string(r.media.State), r.media.Since.UnixMilli()
	}
	r.helpers.Go(func() {
		ctx, cancel := context.WithTimeout(r.ctx, callTimeout)
		defer cancel()
		said, err := r.hub.deps.Bus.Beat(ctx, r.stream, marshal(mine))
		words := []word{mine}
		if err == nil {
			words = words[:0]
			for _, text := range said {
				var w word
				if json.Unmarshal(text, &w) == nil {
					words = append(words, w)
				}
			}
		}
		r.do(func() { r.heard(words, mine) })
	})
}

// heard makes the sum of what the nodes say and tells the members of changes.
func (r *room) heard(words []word, mine word) {
	r.beating = false
	viewers, visitors, audience := 0, 0, 0
	best := word{State: string(sluice.StreamOffline)}
	for _, w := range words {
		viewers += max(w.Viewers, 0)
		visitors += max(w.Visitors, 0)
		audience = max(audience, w.Audience)
		if rank(w.State) > rank(best.State) || rank(w.State) == rank(best.State) && w.Since > best.Since {
			best = w
		}
	}
	// A relay is no viewer: nodes count their own. Those of nodes without a room
	// are known to the node that they pull from.
	if viewers = max(viewers, audience) + visitors; viewers != r.viewers {
		r.viewers = viewers
		r.queue(item{frame: marshal(viewersFrame{"viewers", viewers})})
	}
	state := streamFrame{Type: "stream", State: best.State, Since: stamp(time.UnixMilli(best.Since))}
	if best.Since == 0 {
		state.Since = r.state.Since
		if r.state.State != state.State || state.Since == "" {
			state.Since = stamp(time.Now())
		}
	}
	if state != r.state {
		r.state = state
		r.queue(item{frame: marshal(state)})
	}
	r.send()
	if string(r.media.State) != mine.State && mine.State != "" {
		r.beat() // it changed meanwhile
	}
}

func rank(state string) int {
	switch sluice.StreamState(state) {
	case sluice.StreamLive:
		return 2
	case sluice.StreamPaused:
		return 1
	}
	return 0
}
