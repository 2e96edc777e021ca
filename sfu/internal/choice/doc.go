// Package choice decides which layer of a stream a viewer gets. It is a pure
// function of facts and of a little state that keeps it from flapping; who
// measures the facts and who switches layers is the shard's business.
package choice
