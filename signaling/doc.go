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
//	sluice:nodes:{<region>}  hash    by node id: time of the heartbeat on Redis's clock, and
//	                                 the record (sluice.Node) as JSON; readers remove what
//	                                 is older than 2 lease times; expires an hour after
//	                                 the last heartbeat; written by each node of the region
//	sluice:regions           set     names of regions; no expiry; written by every node
//	sluice:node:{<id>}       hash    region, url; expires after 2 lease times; written by
//	                                 that node at each heartbeat
//	sluice:order:{<id>}      string  what an operator asks of the node; expires after 30 s;
//	                                 written by the node that was told, taken by that node
//	sluice:census            hash    by region: when, and its Census as JSON; expires after
//	                                 an hour; written by one node of each region
//	sluice:turn:{<region>}   string  the node that counts the region now; expires after two
//	                                 heartbeats; written by the first that comes
//	sluice:{<stream>}:lease  hash    owner (node id), gen; expires after the lease time;
//	                                 written by the node that holds the stream
//	sluice:{<stream>}:gen    string  the last generation given out; expires after a
//	                                 week without a lease; written with the lease
//	sluice:{<stream>}:recorder, :recgen
//	                         as lease and gen, for the node that records the stream
//	sluice:{<stream>}:edges  hash    by node: when, and an Edge as JSON; expires after
//	                                 EdgeTTL; written by each node that has the stream
//	sluice:{<stream>}:room   hash    sid, started of the stream's present show, and over when
//	                                 its end has been told; expires 10 minutes after it is
//	                                 over unless kept, or a minute after its end; written by
//	                                 nodes with webhooks that have, or had, its publisher
//	sluice:rooms             zset    streams with a room by when that is over unless kept, on
//	                                 Redis's clock; no expiry; written with the rooms, read
//	                                 and cut by every node with webhooks
//	sluice:roll              string  when the first node of a rolling restart left, on Redis's
//	                                 clock; expires drain.roll after the last one; written
//	                                 by nodes that leave
//	sluice:secret            string  what nodes sign requests to each other with; no
//	                                 expiry; written by the first node, and again by any
//	                                 after Redis lost it
//	sluice:apikey            string  name and secret of the API key that nodes without one
//	                                 take at their first start; no expiry; written by the
//	                                 first node, and again by any after Redis lost it
//	sluice:chat:{<bucket>}:<room>       stream  what was said last, about 512 records; expires a
//	                                 day after the last; rooms are dealt out to 16 buckets;
//	                                 written by each node with members
//	sluice:chat:{<bucket>}:<room>:here  hash    by node: when, and whom it has in the room; expires
//	                                 after 30 s; written by each node with members
//	sluice:chat-wake:{<bucket>}:<node>  stream  one record that ends the node's wait for others;
//	                                 expires after a day; written and read by that node
//
// # Leases
//
// A lease says which node a stream's publisher is on. Each acquisition gets a
// generation that is higher than every one before, even after Redis lost its
// data (it is at least Redis's clock in milliseconds), so that a late write of a
// former holder can be told from the current one's.
//
// A holder renews 2.8 times per lease time: one renewal may fail. While Redis is
// away the holder keeps its lease; when Redis comes back without it, the holder
// writes it again under its old generation. The lease is lost only when Redis
// knows a newer holder.
//
// # When Redis is away
//
// No exchange takes longer than half a second. The first one without an answer
// opens the breaker: callers are refused at once until a heartbeat succeeds. Of a
// Redis Cluster only the heartbeat opens it, when no part of it answers; as long
// as one does, the leases that are there are renewed, and the others are left as
// they are. A heartbeat writes everything anew, so that an emptied or failed-over
// Redis is complete again after one.
package signaling
