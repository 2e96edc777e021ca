// Package problem writes errors to HTTP callers as problem details (RFC 9457).
//
// It owns the one mapping from error codes to HTTP statuses, problem types and
// titles, and the headers that belong to a status: Retry-After on 409, 429 and
// 503, WWW-Authenticate on 401, Allow on 405. It must not know any feature: a
// caller returns a sluice.Error and hands it here. It holds no state.
package problem
