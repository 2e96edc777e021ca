package chat

import (
	"bytes"
	"encoding/json"
	"math"
	"time"
	"unicode/utf8"
)

// Role is what a user is in a room.
type Role string

// Roles, the least first.
const (
	RoleViewer    Role = "viewer"
	RoleModerator Role = "moderator"
	RoleStreamer  Role = "streamer"
)

// moderates reports whether a role may moderate.
func (r Role) moderates() bool { return r == RoleModerator || r == RoleStreamer }

// User is a member as the others see it.
type User struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Role Role   `json:"role"`
}

// Codes of errors on the wire.
const (
	codeRate        = "rate_limited"
	codeLong        = "too_long"
	codeBanned      = "banned"
	codeForbidden   = "forbidden"
	codeInvalid     = "invalid"
	codeUnavailable = "unavailable"
)

// request is a client's frame.
type request struct {
	Type    string  `json:"type"`
	Ref     string  `json:"ref"`
	Text    string  `json:"text"`
	ID      string  `json:"id"`
	User    string  `json:"user"`
	Seconds float64 `json:"seconds"`
	Reason  string  `json:"reason"`
	Before  string  `json:"before"`
	Limit   float64 `json:"limit"`
	Token   string  `json:"token"`
}

// refusal is why a request is not granted.
type refusal struct {
	code, message string
	after         time.Duration // when to try again; 0: unsaid
}

// parseRequest reads a client's frame: one JSON object.
func parseRequest(frame []byte) (request, *refusal) {
	var q request
	if !utf8.Valid(frame) {
		return q, &refusal{code: codeInvalid, message: "a frame is UTF-8"}
	}
	if trimmed := bytes.TrimLeft(frame, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' {
		return q, &refusal{code: codeInvalid, message: "a frame is one JSON object"}
	}
	if err := json.Unmarshal(frame, &q); err != nil {
		return request{}, &refusal{code: codeInvalid, message: "a frame is one JSON object with the fields of its type"}
	}
	if len(q.Ref) > maxRef {
		return request{}, &refusal{code: codeInvalid, message: "a ref has at most 64 bytes"}
	}
	return q, nil
}

// seconds returns a whole number of seconds within 0 and most.
func (q request) seconds(most int) (int, bool) {
	if !(q.Seconds >= 0 && q.Seconds <= float64(most)) {
		return 0, false
	}
	return int(math.Ceil(q.Seconds)), true
}

// Frames of the server.

type messageFrame struct {
	Type string `json:"type"`
	ID   string `json:"id"`
	Ref  string `json:"ref,omitempty"`
	User User   `json:"user"`
	Text string `json:"text"`
	At   string `json:"at"`
}

type welcomeFrame struct {
	Type    string            `json:"type"`
	User    User              `json:"user"`
	Role    Role              `json:"role"`
	Write   bool              `json:"write"`
	Slow    int               `json:"slow"`
	History []json.RawMessage `json:"history"`
}

type historyFrame struct {
	Type   string `json:"type"`
	Before string `json:"before"`
	Count  int    `json:"count"`
	More   bool   `json:"more"`
}

type deletedFrame struct {
	Type string `json:"type"`
	ID   string `json:"id"`
}

type bannedFrame struct {
	Type    string `json:"type"`
	User    string `json:"user"`
	Seconds int    `json:"seconds"`
}

type slowFrame struct {
	Type    string `json:"type"`
	Seconds int    `json:"seconds"`
}

type viewersFrame struct {
	Type  string `json:"type"`
	Count int    `json:"count"`
}

type streamFrame struct {
	Type  string `json:"type"`
	State string `json:"state"`
	Since string `json:"since"`
}

type errorFrame struct {
	Type       string  `json:"type"`
	Ref        string  `json:"ref,omitempty"`
	Code       string  `json:"code"`
	Message    string  `json:"message"`
	RetryAfter float64 `json:"retry_after,omitempty"` // seconds
}

func (f refusal) frame(ref string) []byte {
	after := math.Ceil(f.after.Seconds()*10) / 10
	return marshal(errorFrame{Type: "error", Ref: ref, Code: f.code, Message: f.message, RetryAfter: after})
}

// stamp is a time as the wire has it: RFC 3339 in UTC with milliseconds.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// marshal encodes a frame. Frames are made of strings and numbers only.
func marshal(frame any) []byte {
	b, err := json.Marshal(frame)
	if err != nil {
		panic("chat: a frame does not encode: " + err.Error()) // broken invariant
	}
	return b
}

// pack joins frames into as few as fit into maxPacket, arrays where it joins
// more than one. A frame that is longer goes alone.
func pack(frames [][]byte) [][]byte {
	var packets [][]byte
	for start := 0; start < len(frames); {
		size, end := 2+len(frames[start]), start+1
		for end < len(frames) && size+1+len(frames[end]) <= maxPacket {
			size += 1 + len(frames[end])
			end++
		}
		if end == start+1 {
			packets = append(packets, frames[start])
		} else {
			packets = append(packets, array(frames[start:end], size))
		}
		start = end
	}
	return packets
}

func array(frames [][]byte, size int) []byte {
	b := append(make([]byte, 0, size), '[')
	for i, f := range frames {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, f...)
	}
	return append(b, ']')
}
