// Package client is the other end of the wire: a WHIP publisher and a WHEP
// viewer on Pion, for the command line, for tests and for load.
//
// It owns its HTTP resources and peer connections. It knows nothing of the
// server's packages and speaks only the public protocols, so that it works
// against any WHIP or WHEP server. Publish and Watch start a session; its owner
// ends it with Close, which deletes the HTTP resource and waits for every
// goroutine. A session that ends by itself closes Done.
package client
