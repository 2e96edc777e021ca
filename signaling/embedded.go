package signaling

import (
	"crypto/rand"
	"fmt"

	"github.com/alicebob/miniredis/v2"
)

// Embedded is a Redis server inside this process, for a node that runs alone.
// It listens on a loopback port behind a random password, keeps nothing on disk
// and expires keys by the clock.
type Embedded struct {
	server *miniredis.Miniredis
	url    string
}

// NewEmbedded starts one. The caller closes it.
func NewEmbedded() (*Embedded, error) {
	server, password := miniredis.NewMiniRedis(), rand.Text()
	server.RequireAuth(password)
	if err := server.StartAddr("127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("embedded redis: %w", err)
	}
	server.ClockTTL(true) // without it nothing ever expires
	return &Embedded{server: server, url: "redis://:" + password + "@" + server.Addr() + "/0"}, nil
}

// URL is for Connect. It holds the password and does not belong in logs.
func (e *Embedded) URL() string { return e.url }

// Close stops the server and returns when its connections are gone.
func (e *Embedded) Close() { e.server.Close() }
