// Package chat runs the chat rooms of streams: one room for each stream that has
// members on this node, joined by data channel or WebSocket.
//
//	Conn ─► reader ─► room ─► publisher ─► Bus ─► every node's room ─► members
//	        (member.go)       (publish.go)        (deliver.go)        (flush.go)
//
// It owns the wire format, rights, limits, names, order of delivery, history and
// moderation. A message is shown only when it comes back from the Bus, which
// gives it its place: so every member on every node sees one order, and a sender
// that sees its own message knows that it is in.
//
// Three kinds of goroutine: a reader for each member, which is the goroutine that
// called Hub.Serve; a room (room.go), the only owner of its members, history and
// rules, which never waits for a member, the Bus or the database; and a
// publisher for each room, which does. What is due to a member within a tick is
// sent as few frames as fit, and marshalled once for the room.
//
// It must not know peer connections, Redis or SQL. internal/node makes the one
// Hub of a node, hands it the connections, and closes it before the Bus.
package chat
