package wish

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
)

// Bearer returns the token that r carries, in its Authorization header or, for
// players that cannot set one, as the query parameter "token". It is "" when
// there is none. inURL says that it came from the query.
func Bearer(r *http.Request) (token string, inURL bool) {
	for _, h := range r.Header.Values("Authorization") {
		scheme, rest, _ := strings.Cut(strings.TrimSpace(h), " ")
		if rest = strings.TrimSpace(rest); strings.EqualFold(scheme, "bearer") && rest != "" {
			return rest, false
		}
	}
	if r.URL.RawQuery == "" {
		return "", false
	}
	token = r.URL.Query().Get("token")
	return token, token != ""
}

// owner is a digest of the bearer that made a session.
type owner = [sha256.Size]byte

func ownerOf(bearer string) owner { return sha256.Sum256([]byte(bearer)) }

func owns(o owner, bearer string) bool {
	other := ownerOf(bearer)
	return subtle.ConstantTimeCompare(o[:], other[:]) == 1
}
