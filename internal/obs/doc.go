// Package obs is how the server is seen from outside: logs, metrics, health.
//
// It owns the logger and what must never stand in a log, request ids, the
// metric registry with its exposition, and the handlers of the ops listener. It
// must not know any feature: features count in plain numbers and hand over
// functions that read them. It starts no goroutine and nothing has to be closed.
//
// Log records have constant messages and the fixed keys request, stream,
// session, node, layer and err.
package obs
