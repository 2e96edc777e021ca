package auth

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"
	lkauth "github.com/livekit/protocol/auth"

	"github.com/sluice-live/sluice"
)

// claims are the claims that we read and write. LiveKit's tokens may hold more
// (metadata, attributes, room configuration, other grants): those are skipped
// without being parsed.
type claims struct {
	jwt.RegisteredClaims
	Name  string             `json:"name,omitempty"`
	Tier  int                `json:"tier,omitempty"` // our own: LiveKit's servers skip it
	Video *lkauth.VideoGrant `json:"video,omitempty"`
}

// maxTier is the highest tier that a token can give.
const maxTier = 9

func (a *Authorizer) verify(bearer string) (sluice.Grant, error) {
	var c claims
	_, err := a.parser.ParseWithClaims(bearer, &c, a.secretOf)
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return sluice.Grant{}, refuse("the token has expired", err)
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		return sluice.Grant{}, refuse("the token is not valid yet", err)
	case err != nil:
		return sluice.Grant{}, refuse("the token is not valid", err)
	case len(c.Audience) > 0 && !slices.Contains(c.Audience, Audience):
		return sluice.Grant{}, refuse("the token is for someone else", nil)
	case c.ExpiresAt.Year() > 9999: // not a time that JSON or logs can show
		return sluice.Grant{}, refuse("the token expires too far from now", nil)
	}
	return c.grant()
}

// secretOf finds the key by the issuer alone. Headers such as kid, jku or x5u
// choose nothing, and a token that demands an extension is refused (RFC 7515
// section 4.1.11).
func (a *Authorizer) secretOf(t *jwt.Token) (any, error) {
	if _, ok := t.Header["crit"]; ok {
		return nil, errors.New("critical header extensions are not supported")
	}
	issuer, err := t.Claims.GetIssuer()
	if err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	secret, ok := a.keys[issuer]
	if !ok {
		return nil, errors.New("unknown API key")
	}
	return []byte(secret), nil
}

func (c claims) grant() (sluice.Grant, error) {
	g := sluice.Grant{Identity: c.Subject, Name: c.Name, Expires: c.ExpiresAt.Time}
	v := c.Video
	if v == nil {
		return g, nil
	}
	if v.Room != "" {
		if err := sluice.CheckStreamName(v.Room); err != nil {
			return sluice.Grant{}, refuse("the token's room is no stream name", err)
		}
	}
	g.Stream = v.Room
	g.Publish = v.RoomJoin && v.GetCanPublish()
	g.Watch = v.RoomJoin && v.GetCanSubscribe()
	g.Chat = v.RoomJoin && v.GetCanPublishData()
	g.Moderate = v.RoomAdmin
	g.Tier = min(max(c.Tier, 0), maxTier)
	return g, nil
}

// refuse keeps the cause for logs and tells the caller only detail.
func refuse(detail string, cause error) *sluice.Error {
	return &sluice.Error{Code: sluice.CodeUnauthenticated, Detail: detail, Err: cause}
}

// Mint returns a token that grants g for ttl from now. g.Expires is not looked
// at. An empty g.Stream makes a token for every stream.
func Mint(apiKey, secret string, g sluice.Grant, ttl time.Duration) (string, error) {
	if err := checkKey(apiKey, secret); err != nil {
		return "", err
	}
	if ttl < time.Second {
		return "", fmt.Errorf("auth: a token lives at least one second, not %s", ttl)
	}
	if g.Stream != "" {
		if err := sluice.CheckStreamName(g.Stream); err != nil {
			return "", fmt.Errorf("auth: mint: %w", err)
		}
	}
	video := &lkauth.VideoGrant{Room: g.Stream, RoomJoin: g.Publish || g.Watch || g.Chat, RoomAdmin: g.Moderate}
	video.SetCanPublish(g.Publish)
	video.SetCanSubscribe(g.Watch)
	video.SetCanPublishData(g.Chat)
	now := time.Now()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    apiKey,
			Subject:   g.Identity,
			ID:        rand.Text(),
			IssuedAt:  jwt.NewNumericDate(now),
			NotBefore: jwt.NewNumericDate(now),
			ExpiresAt: jwt.NewNumericDate(now.Add(ttl)),
		},
		Name:  g.Name,
		Tier:  g.Tier,
		Video: video,
	}).SignedString([]byte(secret))
	if err != nil {
		return "", fmt.Errorf("auth: sign: %w", err)
	}
	if len(token) > MaxToken {
		return "", fmt.Errorf("auth: the token would have %d bytes, at most %d are accepted", len(token), MaxToken)
	}
	return token, nil
}

// GenerateKey returns a new API key and its secret of 256 random bits.
func GenerateKey() (apiKey, secret string) {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails; ends the program if the system has no randomness
	return "API" + rand.Text()[:13], base64.RawURLEncoding.EncodeToString(b)
}
