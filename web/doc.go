// Package web holds the pages and the player: plain ES modules in src, made
// into dist by the program in bundle, and embedded here.
//
// It owns what the browser runs and how it is served: content types, caching,
// and the content security policy. It must not know the HTTP framework, the
// media plane or the signaling; the scripts talk to a node only through its
// public HTTP interface. Handler has no state and needs no closing.
//
// Other pages may import /assets/whip.js (WhipPublisher), /assets/whep.js
// (WhepPlayer) and /assets/player.js (the <live-player> element) from any
// origin.
package web

//go:generate go run ./bundle
