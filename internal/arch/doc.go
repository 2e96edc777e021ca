// Package arch holds the shape of the repository as a rule that can be run:
// which package may import which, and which library has which owner. It is
// ARCHITECTURE.md's "One rule" in code, has no run time use and is imported by
// nobody; its test reads the imports of every package and fails on any edge
// that the rule does not allow.
package arch
