package wish

import (
	"crypto/rand"
	"strings"

	sluice "github.com/sluice-live/sluice"
)

// newETag returns a strong entity-tag, quoted, unlike any before it.
func newETag() string { return `"` + rand.Text()[:16] + `"` }

// checkIfMatch holds If-Match headers against the current entity-tag:
// CodePreconditionRequired when there is none, CodePreconditionFailed when none
// matches. A star matches, bare or quoted; a tag without quotes is taken as if
// it had them; a weak tag never matches (RFC 9110 section 13.1.1).
func checkIfMatch(headers []string, current string) error {
	seen := false
	for _, h := range headers {
		for tag := range strings.SplitSeq(h, ",") {
			tag = strings.TrimSpace(tag)
			if tag == "" {
				continue
			}
			seen = true
			bare := strings.TrimSuffix(strings.TrimPrefix(tag, `"`), `"`)
			if bare == "*" || `"`+bare+`"` == current {
				return nil
			}
		}
	}
	if !seen {
		return sluice.Errorf(sluice.CodePreconditionRequired, "send If-Match with the session's entity-tag")
	}
	return sluice.Errorf(sluice.CodePreconditionFailed, "the entity-tag is not the current one")
}
