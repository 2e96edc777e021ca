// Package lost keeps the list of packets that a publisher's stream lacks and
// says when to ask for them again. It is a pure value: no goroutine, no clock,
// no allocation.
package lost
