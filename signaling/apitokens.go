package signaling

import (
	"context"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sluice-live/sluice"
)

const (
	// defaultTokenTTL and maxTokenTTL are how long a token lives.
	defaultTokenTTL = 2 * time.Hour
	maxTokenTTL     = 366 * 24 * time.Hour
	// maxHolder is how many characters the holder's id and name may have.
	maxHolder = 128
	// topTier is the highest tier of a stream.
	topTier = 9
)

type makeTokenInput struct {
	Type    string `header:"Content-Type" hidden:"true"`
	RawBody []byte `contentType:"application/json"`
}

// newToken is what a token is made of.
type newToken struct {
	Stream   string  `json:"stream" doc:"The stream that it is for"`
	Publish  bool    `json:"publish,omitempty" doc:"May publish"`
	Watch    bool    `json:"watch,omitempty" doc:"May watch"`
	Moderate bool    `json:"moderate,omitempty" doc:"May moderate, and see the stream's viewers"`
	Identity string  `json:"identity,omitempty" doc:"Stable id of the holder"`
	Name     string  `json:"name,omitempty" doc:"Display name of the holder"`
	Tier     int     `json:"tier,omitempty" minimum:"0" maximum:"9" doc:"Tier of what is published with it: the lowest gives way first"`
	TTL      float64 `json:"ttlSeconds,omitempty" minimum:"1" maximum:"31622400" default:"7200" doc:"How long it is valid"`
}

// madeToken is a token.
type madeToken struct {
	Token   string    `json:"token" doc:"The bearer token"`
	Stream  string    `json:"stream"`
	Expires time.Time `json:"expires"`
}

func (a API) tokenRoutes(api huma.API) {
	registerAs(api, http.MethodPost, "create-token", "/tokens", "Make a token for one stream", a.makeToken, created[newToken](api))
}

func (a API) makeToken(ctx context.Context, in *makeTokenInput) (*body[madeToken], error) {
	if err := mayOperate(ctx); err != nil {
		return nil, err
	}
	var wanted newToken
	if err := readJSON(in.Type, in.RawBody, &wanted); err != nil {
		return nil, err
	}
	ttl, err := wanted.check()
	if err != nil {
		return nil, err
	}
	expires := time.Now().Add(ttl).Truncate(time.Second).UTC() // as tokens have it
	token, err := a.Sign(sluice.Grant{
		Identity: wanted.Identity, Name: wanted.Name, Stream: wanted.Stream,
		Publish: wanted.Publish, Watch: wanted.Watch, Moderate: wanted.Moderate, Chat: true, Tier: wanted.Tier,
	}, ttl)
	if err != nil {
		return nil, err
	}
	return &body[madeToken]{madeToken{Token: token, Stream: wanted.Stream, Expires: expires}}, nil
}

// check returns how long the token lives.
func (n newToken) check() (time.Duration, error) {
	ttl := defaultTokenTTL
	if n.TTL != 0 {
		ttl = time.Duration(n.TTL * float64(time.Second))
	}
	switch {
	case sluice.CheckStreamName(n.Stream) != nil:
		return 0, sluice.CheckStreamName(n.Stream)
	case !n.Publish && !n.Watch && !n.Moderate:
		return 0, sluice.Errorf(sluice.CodeInvalid, "at least one of publish, watch and moderate is true")
	case n.TTL < 0 || n.TTL > maxTokenTTL.Seconds() || ttl < time.Second:
		return 0, sluice.Errorf(sluice.CodeInvalid, "ttlSeconds is within 1 and %.0f", maxTokenTTL.Seconds())
	case n.Tier < 0 || n.Tier > topTier:
		return 0, sluice.Errorf(sluice.CodeInvalid, "tier is within 0 and %d", topTier)
	case utf8.RuneCountInString(n.Identity) > maxHolder || utf8.RuneCountInString(n.Name) > maxHolder:
		return 0, sluice.Errorf(sluice.CodeInvalid, "identity and name have at most %d characters each", maxHolder)
	}
	return ttl, nil
}
