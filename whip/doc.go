// Package whip serves WHIP (RFC 9725): publishers open, steer and end their
// sessions over HTTP, and are told when to go to another server.
//
// It owns the routes below /whip and the URLs of publishers' sessions. It must
// not know how media is received (Media does) nor what a token looks like
// (Authorizer does). What it shares with whep is in internal/wish. Whoever made
// a Handler closes it, after the media plane has closed the sessions.
package whip
