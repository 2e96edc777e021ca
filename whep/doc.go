// Package whep serves WHEP (draft-ietf-wish-whep): viewers open, steer and end
// their sessions over HTTP, hear of the stream's state by server-sent events and
// choose the video layer.
//
// It owns the routes below /whep, the URLs of viewers' sessions and the event
// streams of each session. It must not know how media is sent (Media does) nor
// what a token looks like (Authorizer does). What it shares with whip is in
// internal/wish. Whoever made a Handler closes it, after the media plane has
// closed the sessions; closing also ends all event streams.
package whep
