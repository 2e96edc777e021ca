// Package wishtest helps to test WHIP and WHEP over real HTTP: a session without
// media, an authorizer with fixed tokens, and a small client. It is imported by
// tests only.
package wishtest
