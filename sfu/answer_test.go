package sfu

import (
	"errors"
	"testing"

	"github.com/sluice-live/sluice"
)

// Who is too slow is not told that its offer is wrong: it would not come again.
func TestEndedSessionDoesNotBlameTheOffer(t *testing.T) {
	ses := &session{ending: make(chan struct{})}
	cause := errors.New("closed")
	if err := ses.refuses("the offer cannot be accepted", cause); sluice.CodeOf(err) != sluice.CodeUnprocessable || !errors.Is(err, cause) {
		t.Error(err)
	}
	close(ses.ending)
	err := ses.refuses("the offer cannot be accepted", cause)
	if told, ok := errors.AsType[*sluice.Error](err); !ok || told.Code != sluice.CodeUnavailable || told.RetryAfter == 0 || !errors.Is(err, cause) {
		t.Error(err)
	}
}
