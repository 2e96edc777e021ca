package sluice

import "time"

// Grant is what a caller may do, read from a bearer token.
type Grant struct {
	Identity string // stable id of the caller; "" for an anonymous one
	Name     string // display name
	Stream   string // the stream it is for; "" for any
	Publish  bool
	Watch    bool
	Chat     bool // may write in the chat
	Moderate bool
	Tier     int       // of a stream that is published with it; 0, the lowest, is the first to give way
	Expires  time.Time // zero: never
}

func (g Grant) covers(stream string) bool { return g.Stream == "" || g.Stream == stream }

// MayPublish reports whether the grant allows publishing stream.
func (g Grant) MayPublish(stream string) bool { return g.Publish && g.covers(stream) }

// MayWatch reports whether the grant allows watching stream. A moderator may.
func (g Grant) MayWatch(stream string) bool {
	return (g.Watch || g.Moderate) && g.covers(stream)
}

// MayOperate reports whether the grant allows operating the nodes: it is one to
// moderate every stream.
func (g Grant) MayOperate() bool { return g.Moderate && g.Stream == "" }

// MayModerate reports whether the grant allows moderating stream.
func (g Grant) MayModerate(stream string) bool { return g.Moderate && g.covers(stream) }
