package chat

import "sync/atomic"

// counters are the numbers of a Hub.
type counters struct {
	in, out, frames, records, dropped, unkept atomic.Uint64
	refused                                   [refusals]atomic.Uint64 // by number in refusalCodes
	members, rooms                            atomic.Int64
}

// refusals is how many codes of errors there are.
const refusals = 6

// refusalCodes are the codes of errors that members get.
func refusalCodes() [refusals]string {
	return [...]string{codeRate, codeLong, codeBanned, codeForbidden, codeInvalid, codeUnavailable}
}

func (c *counters) refuse(code string) {
	for i, known := range refusalCodes() {
		if known == code {
			c.refused[i].Add(1)
		}
	}
}

// Counters are totals since the start, and what there is now.
type Counters struct {
	In        uint64            // messages that members of this node got in
	Out       uint64            // messages delivered, each to each member
	Frames    uint64            // frames sent to members
	Records   uint64            // records published
	Refused   map[string]uint64 // requests refused, by code
	Dropped   uint64            // members that read too slowly or flooded
	Unkept    uint64            // messages that the database did not take
	Members   int64
	RoomsOpen int64
}

// Counters returns a snapshot.
func (h *Hub) Counters() Counters {
	c := &h.counters
	refused := map[string]uint64{}
	for i, code := range refusalCodes() {
		refused[code] = c.refused[i].Load()
	}
	return Counters{
		In: c.in.Load(), Out: c.out.Load(), Frames: c.frames.Load(), Records: c.records.Load(), Refused: refused,
		Dropped: c.dropped.Load(), Unkept: c.unkept.Load(), Members: c.members.Load(), RoomsOpen: c.rooms.Load(),
	}
}
