// Package catalog keeps the facts that must survive: bans, settings of chat
// rooms, the audit log of moderation and the messages that were written.
//
// It owns the SQL: drivers, queries and migrations. SQLite, in a file of the
// data directory, is for a node or for nodes that each keep their own;
// PostgreSQL is for a cluster. Both pass the same contract tests. It must not
// know who asks, nor how messages travel; times are Unix milliseconds in the
// tables and time.Time outside.
//
// A Catalog is safe for concurrent use. It runs no goroutine of its own beside
// those of database/sql; internal/node opens it and closes it last.
package catalog
