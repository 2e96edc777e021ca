// Package wish holds what WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep) share
// as HTTP protocols: the check of an SDP offer before the media plane sees it,
// SDP fragments (RFC 8840), entity-tags, Link and CORS headers, bearer tokens,
// limits per caller, and the session resource itself with POST, PATCH, DELETE,
// GET, HEAD and OPTIONS.
//
// It owns the table of session URLs: their secrets, who may use them, and the
// entity-tag of each ICE session. It must not know peer connections, packets,
// streams' state or gin: a session is the Session interface, opened by the
// package that makes an Endpoint. That package also closes the Endpoint, which
// ends the table's goroutines but no session: the media plane closes those.
package wish
