// Package e2e holds the tests of whole nodes: started as a user's would be,
// with real sockets, real browsers and real encoders, and seen only from
// outside. Its files are tests; nothing imports it. node_test.go starts the
// nodes and stops them.
package e2e
