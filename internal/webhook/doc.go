// Package webhook delivers signed messages to HTTP receivers.
//
// Each receiver has a bounded queue of its own. Messages of one line (a stream) reach
// it in order: the next is sent when the one before has been taken or given up.
// Lines do not wait for each other. What fails is tried again, ever more slowly,
// until it is too old.
//
// It owns the queues, the attempts and their counters. It must not know what a
// message says, how it is signed, or who wrote it. internal/node makes one Sender
// and closes it.
package webhook
