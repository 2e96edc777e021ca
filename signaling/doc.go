// Package signaling is what nodes know of each other, and what operators see of
// them: node records and stream leases in Redis, and the control API.
//
// It owns every key in Redis and every Redis call. It must not know media: who
// publishes, and what follows from losing a lease, is decided by its caller.
// Redis holds only what may be lost and is rebuilt by heartbeats, so losing it
// never ends a running stream.
//
// internal/node makes the client (Connect, or NewEmbedded for a node of its
// own), builds one Registry on it and closes both, the Registry first. A
// Registry runs one goroutine, which Close joins.
//
// # Keys
//
// The part in braces is the Redis Cluster hash tag: a stream's keys share a slot.
//
//	sluice:nodes             set     ids of nodes; no expiry, readers remove the dead
//	sluice:node:{<id>}       hash    record (livekit.Node), url; expires after 2 lease
//	                                 times; written by that node at each heartbeat
//	sluice:{<stream>}:lease  hash    owner (node id), gen; expires after the lease time;
//	                                 written by the node that holds the stream
//	sluice:{<stream>}:gen    string  the last generation given out; expires after a
//	                                 week without a lease; written with the lease
//	sluice:{<stream>}:edges  hash    by node: when, and an Edge as JSON; expires after
//	                                 EdgeTTL; written by each node that has the stream
//	sluice:secret            string  what nodes sign requests to each other with; no
//	                                 expiry; written by the first node, and again by any
//	                                 after Redis lost it
//
// # Leases
//
// A lease says which node a stream's publisher is on. Each acquisition gets a
// generation that is higher than every one before, even after Redis lost its
// data (it is at least Redis's clock in milliseconds), so that a late write of a
// former holder can be told from the current one's.
//
// A holder renews three times per lease time. While Redis is away the holder
// keeps its lease; when Redis comes back without it, the holder writes it again
// under its old generation. The lease is lost only when Redis knows a newer
// holder.
package signaling
