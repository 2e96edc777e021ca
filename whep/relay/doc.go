// Package relay is how nodes pull streams from each other: WHEP among nodes. The
// puller posts an SDP offer with a section for each layer that may be; the answer
// says what each of them carries. A stream of news then tells layers, state and
// viewer count, and is how both see that the other is alive.
//
//	POST   /relay/v1/{stream}        {"sdp","region"} → 201, Answer, Location
//	GET    /relay/v1/{stream}/{id}   → server-sent events, one News in each
//	POST   /relay/v1/{stream}/{id}   {"viewers"} → 204
//	DELETE /relay/v1/{stream}/{id}   → 200
//
// Every request carries a ticket of its node, bound to the request and its body;
// the answer to the offer carries one too. Strangers get 401.
//
// It owns both ends of this protocol. It must not know how media moves (Source
// does), nor where nodes are and which of them to ask: internal/node decides. A
// Server runs no goroutines of its own; Close ends the streams of news.
package relay
