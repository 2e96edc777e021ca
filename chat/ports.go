package chat

import (
	"context"
	"net/netip"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/catalog"
)

// Conn is a member's connection. Receive and Send are each used by one
// goroutine at a time; Close may be called by any, and more than once.
type Conn interface {
	// Receive waits for the next frame, which is valid until the next call.
	// ErrFrameTooLong: a frame was skipped. Other errors end the connection.
	Receive() ([]byte, error)
	// Send takes a frame without waiting. It does not change the frame, which
	// may be sent to others too. ErrSlow: the member reads too slowly.
	Send(frame []byte) error
	// Close ends the connection and makes Receive return.
	Close(reason string)
}

// ConnError is an error of a Conn.
type ConnError string

// Error implements error.
func (e ConnError) Error() string { return string(e) }

// Errors of a Conn.
const (
	ErrFrameTooLong ConnError = "the frame is too long"
	ErrSlow         ConnError = "the member does not keep up"
)

// Bus carries records of rooms to every node, this one included, in one order.
type Bus interface {
	// Publish gives data the next place in a room's log. After an error it may
	// be in the log all the same.
	Publish(ctx context.Context, room string, data []byte) error
	// Follow calls deliver for the newest records of the log and each new one,
	// in the order of their places, strings that sort so, and from one
	// goroutine; a record that had been lost may come late. caughtUp is called
	// once, when the log was read. stop waits for a call under way.
	Follow(room string, deliver func(place string, at time.Time, data []byte), caughtUp func()) (stop func())
	// Beat tells the other nodes what this one has to say of a room, nil for
	// nothing more, and returns what all say.
	Beat(ctx context.Context, room string, mine []byte) ([][]byte, error)
}

// Archive keeps messages.
type Archive interface {
	AddMessages(ctx context.Context, messages []catalog.Message) error
	DeleteMessage(ctx context.Context, stream, id string, at time.Time) error
	MessagesBefore(ctx context.Context, stream, before string, limit int) ([]catalog.Message, error)
	MessagesBetween(ctx context.Context, stream string, from, to time.Time, limit int) ([]catalog.Message, error)
	Keeping
	Expire(ctx context.Context, before time.Time) error
}

// Rules keeps what moderators decide.
type Rules interface {
	SetBan(ctx context.Context, b catalog.Ban) error
	LiftBan(ctx context.Context, stream, user string) error
	Bans(ctx context.Context, stream string, now time.Time) ([]catalog.Ban, error)
	Room(ctx context.Context, stream string) (catalog.Room, error)
	SetRoom(ctx context.Context, stream string, r catalog.Room) error
	Audit(ctx context.Context, a catalog.Action) error
}

// Media knows the streams of this node.
type Media interface {
	// Stream returns a snapshot, and a channel that is closed when there is a
	// newer one. Its viewers are those of all nodes that have the stream, as far
	// as this one has been told.
	Stream(name string) (snapshot sluice.Stream, changed <-chan struct{})
	// ViewersHere is how many of them have their session on this node.
	ViewersHere(name string) int
}

// Judge may refuse a text or a writer beyond the rules of the room. Its methods
// must not block.
type Judge interface {
	// Allow reports whether a text may be said in a stream's chat.
	Allow(stream, text string) bool
	// Follows reports whether a user counts as a follower of the stream.
	Follows(stream, user string, guest bool) bool
}

// Recordings knows the recordings that exist.
type Recordings interface {
	Recordings(ctx context.Context) ([]sluice.Recording, error)
}

// Keeping ties messages to recordings: what a recording holds stays as long as
// it does, and goes with it.
type Keeping interface {
	KeepChat(ctx context.Context, node string, now time.Time, rec sluice.Recording) error
	KeptChats(ctx context.Context, node string) ([]string, error)
	DropChat(ctx context.Context, recording string) error
}

// Who is the holder of a connection.
type Who struct {
	Stream    string
	Grant     sluice.Grant
	Remote    netip.Addr
	Publisher bool   // it is the publisher's own session
	Viewer    bool   // it is a viewer's session, which the media plane counts
	Key       string // secret of a guest, by which it is known again; "" for none
	MaxFrame  int    // the longest frame that the connection takes, in bytes; 0: unlimited
	// Again returns the grant of another token, for a client that sends it in a
	// frame of type "auth". It may be nil.
	Again func(token string) (sluice.Grant, error)
}
