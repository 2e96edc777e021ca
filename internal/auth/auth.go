package auth

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sluice-live/sluice"
)

// Modes of access.
const (
	ModeOpen  = "open"  // everyone may do everything; a token, if sent and checkable, still counts
	ModeToken = "token" // a valid token is needed
)

const (
	// MaxToken is the longest bearer that is looked at, in bytes.
	MaxToken = 4096
	// MinSecret is the shortest API secret, in bytes: HS256 wants a key as long
	// as its hash (RFC 7518 section 3.2).
	MinSecret = 32
	// DefaultLeeway forgives clocks that differ between us and the token's maker.
	DefaultLeeway = 30 * time.Second
	// Audience is the only value of an aud claim that is accepted. A token
	// without one is accepted too: LiveKit's SDKs write none.
	Audience = "sluice"
)

// Config configures an Authorizer.
type Config struct {
	Mode   string            // ModeOpen or ModeToken
	Keys   map[string]string // API key to secret; all are valid at once
	Leeway time.Duration     // 0: DefaultLeeway
}

// Authorizer reads grants from bearer tokens.
type Authorizer struct {
	open   bool
	keys   map[string]string
	parser *jwt.Parser
}

// New returns an Authorizer, or an error that names the wrong setting without
// repeating any secret.
func New(cfg Config) (*Authorizer, error) {
	switch {
	case cfg.Mode != ModeOpen && cfg.Mode != ModeToken:
		return nil, fmt.Errorf("auth: mode %q is neither %q nor %q", cfg.Mode, ModeOpen, ModeToken)
	case cfg.Mode == ModeToken && len(cfg.Keys) == 0:
		return nil, fmt.Errorf("auth: mode %q needs at least one API key", ModeToken)
	case cfg.Leeway < 0:
		return nil, fmt.Errorf("auth: negative leeway %s", cfg.Leeway)
	case cfg.Leeway == 0:
		cfg.Leeway = DefaultLeeway
	}
	for key, secret := range cfg.Keys {
		if err := checkKey(key, secret); err != nil {
			return nil, err
		}
	}
	return &Authorizer{
		open: cfg.Mode == ModeOpen,
		keys: maps.Clone(cfg.Keys),
		parser: jwt.NewParser(
			jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
			jwt.WithExpirationRequired(),
			jwt.WithLeeway(cfg.Leeway),
			jwt.WithStrictDecoding(),
		),
	}, nil
}

func checkKey(key, secret string) error {
	if key == "" {
		return fmt.Errorf("auth: an API key is empty")
	}
	if len(secret) < MinSecret {
		return fmt.Errorf("auth: the secret of API key %q has %d characters, at least %d are needed", key, len(secret), MinSecret)
	}
	return nil
}

// Authorize returns what the holder of bearer may do; "" means that none was
// sent. Every other error is a sluice.Error with CodeUnauthenticated.
//
// In open mode a caller without a JWT gets all rights, on any stream; a bearer
// that is a stream name limits the grant to that stream, so that an encoder with
// one URL and one token field can say which stream it publishes. A JWT is
// verified in open mode too, unless there are no keys to verify it with. A stream
// key adds nothing to the rights of open mode; in token mode it is CodeForbidden
// here: see Keyring.
func (a *Authorizer) Authorize(_ context.Context, bearer string) (sluice.Grant, error) {
	switch {
	case len(bearer) > MaxToken:
		return sluice.Grant{}, refusal("a token has at most %d bytes", MaxToken)
	case a.open && (!looksLikeJWT(bearer) || len(a.keys) == 0):
		return openGrant(bearer), nil
	case isStreamKey(bearer):
		return sluice.Grant{}, sluice.Errorf(sluice.CodeForbidden, "a stream key is only for publishing")
	case bearer == "":
		return sluice.Grant{}, refusal("a bearer token is needed")
	case !looksLikeJWT(bearer):
		return sluice.Grant{}, refusal("the token is not valid")
	}
	return a.verify(bearer)
}

// looksLikeJWT reports whether bearer has the three parts of a JWS in compact form.
func looksLikeJWT(bearer string) bool { return strings.Count(bearer, ".") == 2 }

func openGrant(bearer string) sluice.Grant {
	g := sluice.Grant{Publish: true, Watch: true, Chat: true, Moderate: true}
	if sluice.CheckStreamName(bearer) == nil && !isStreamKey(bearer) {
		g.Stream = bearer
	}
	return g
}

func refusal(format string, args ...any) *sluice.Error {
	return sluice.Errorf(sluice.CodeUnauthenticated, format, args...)
}
