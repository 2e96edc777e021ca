package sluice

import (
	"errors"
	"fmt"
	"time"
)

// Code classifies an error for callers. Codes are part of the outward
// contract: each maps to one HTTP status and one problem type.
type Code string

const (
	CodeInvalid              Code = "invalid"               // 400: malformed input
	CodeUnauthenticated      Code = "unauthenticated"       // 401: no or bad token
	CodeForbidden            Code = "forbidden"             // 403: token lacks the right
	CodeNotFound             Code = "not-found"             // 404: no such resource
	CodeStreamBusy           Code = "stream-busy"           // 409: a live publisher holds the stream
	CodeElsewhere            Code = "elsewhere"             // 307: another node takes this
	CodeFallback             Code = "fallback"              // 503: to be watched by LL-HLS for now
	CodeStreamOffline        Code = "stream-offline"        // 409: nobody publishes the stream
	CodeRecordingRunning     Code = "recording-running"     // 409: it has not ended yet
	CodePreconditionFailed   Code = "precondition-failed"   // 412: stale entity-tag
	CodeTooLarge             Code = "too-large"             // 413: body over the limit
	CodeUnsupportedMediaType Code = "unsupported-media"     // 415: wrong content type or encoding
	CodeUnprocessable        Code = "unprocessable"         // 422: well-formed, yet not acceptable
	CodePreconditionRequired Code = "precondition-required" // 428: entity-tag missing
	CodeTooManyRequests      Code = "too-many-requests"     // 429: a limit of this caller
	CodeInternal             Code = "internal"              // 500: our fault
	CodeUnavailable          Code = "unavailable"           // 503: a limit or fault of this node
)

// Error is an error with a code. Detail is shown to the caller and therefore
// never holds a token, key or SDP; Err is for logs only.
type Error struct {
	Code       Code
	Detail     string
	RetryAfter time.Duration // when to try again; 0: unsaid
	Elsewhere  *Elsewhere    // of CodeElsewhere and CodeFallback
	Err        error
}

// Elsewhere is where a request is answered that is not answered here.
type Elsewhere struct {
	Node string // id; "" for this one
	URL  string
}

// Error implements error.
func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Detail, e.Err)
	}
	return fmt.Sprintf("%s: %s", e.Code, e.Detail)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error with a formatted detail. A %w operand becomes its cause
// as well as part of the detail.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Detail: err.Error(), Err: errors.Unwrap(err)}
}

// CodeOf returns the code of the first Error in err's chain, CodeInternal when
// there is none, and "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return CodeInternal
}
