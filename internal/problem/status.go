package problem

import (
	"net/http"

	"github.com/sluice-live/sluice"
)

// Status returns the HTTP status of a code, 500 for an unknown one.
func Status(code sluice.Code) int {
	status, _ := entry(code)
	return status
}

func title(code sluice.Code) string {
	_, title := entry(code)
	return title
}

func entry(code sluice.Code) (status int, title string) {
	switch code {
	case sluice.CodeInvalid:
		return http.StatusBadRequest, "Malformed request"
	case sluice.CodeUnauthenticated:
		return http.StatusUnauthorized, "No valid token"
	case sluice.CodeForbidden:
		return http.StatusForbidden, "The token does not allow this"
	case sluice.CodeNotFound:
		return http.StatusNotFound, "Not found"
	case CodeMethodNotAllowed:
		return http.StatusMethodNotAllowed, "Method not allowed"
	case sluice.CodeStreamBusy:
		return http.StatusConflict, "Someone else publishes this stream"
	case sluice.CodeElsewhere:
		return http.StatusTemporaryRedirect, "Another node takes this"
	case sluice.CodeFallback:
		return http.StatusServiceUnavailable, "To be watched by LL-HLS for now"
	case sluice.CodeStreamOffline:
		return http.StatusConflict, "Nobody publishes this stream"
	case sluice.CodeRecordingRunning:
		return http.StatusConflict, "The recording has not ended"
	case sluice.CodePreconditionFailed:
		return http.StatusPreconditionFailed, "The entity-tag is stale"
	case sluice.CodeTooLarge:
		return http.StatusRequestEntityTooLarge, "The body is too large"
	case sluice.CodeUnsupportedMediaType:
		return http.StatusUnsupportedMediaType, "Unsupported media type"
	case sluice.CodeUnprocessable:
		return http.StatusUnprocessableEntity, "Not acceptable as it is"
	case sluice.CodePreconditionRequired:
		return http.StatusPreconditionRequired, "If-Match is missing"
	case sluice.CodeTooManyRequests:
		return http.StatusTooManyRequests, "Too many requests"
	case sluice.CodeUnavailable:
		return http.StatusServiceUnavailable, "This node cannot take the request now"
	default:
		return http.StatusInternalServerError, "Internal error"
	}
}
