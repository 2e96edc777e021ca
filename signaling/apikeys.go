package signaling

import (
	"context"
	"encoding/base64"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sluice-live/sluice"
)

// Keys keeps the stream keys of all nodes. Errors: CodeUnavailable while it cannot.
type Keys interface {
	// MakeKey makes a key; the secret is what encoders send.
	MakeKey(ctx context.Context, stream, name string) (key sluice.StreamKey, secret string, err error)
	// ListKeys lists up to limit keys behind the id after, of one stream or with ""
	// of all, by id.
	ListKeys(ctx context.Context, stream, after string, limit int) ([]sluice.StreamKey, error)
	// RevokeKey makes a key good for nothing. CodeNotFound: there is none.
	RevokeKey(ctx context.Context, id string) error
}

// maxLabel is how many characters a key's name may have.
const maxLabel = 100

type makeKeyInput struct {
	Type    string `header:"Content-Type" hidden:"true"`
	RawBody []byte `contentType:"application/json"`
}

// newStreamKey is what a key is made of.
type newStreamKey struct {
	Stream string `json:"stream" doc:"The stream that it is good for"`
	Name   string `json:"name,omitempty" doc:"For people, such as where it is used"`
}

// madeStreamKey is a key and, this once, what encoders send.
type madeStreamKey struct {
	sluice.StreamKey
	Key string `json:"key" doc:"The bearer token for encoders. It is shown only here"`
}

type listKeysInput struct {
	Stream string    `query:"stream" doc:"Only keys of this stream"`
	Limit  pageLimit `query:"limit" doc:"Most items to return"`
	Cursor string    `query:"cursor" doc:"nextCursor of the page before"`
}

type keyInput struct {
	ID string `path:"id" doc:"Id of the key"`
}

func (a API) keyRoutes(api huma.API) {
	registerAs(api, http.MethodPost, "create-key", "/keys", "Make a key that lets encoders publish one stream", a.makeKey, created[newStreamKey](api))
	register(api, "list-keys", "/keys", "List stream keys, without what encoders send", a.listKeys)
	registerAs(api, http.MethodDelete, "revoke-key", "/keys/{id}", "Revoke a key; who publishes with it goes on", a.revokeKey)
}

func (a API) makeKey(ctx context.Context, in *makeKeyInput) (*body[madeStreamKey], error) {
	if err := mayOperate(ctx); err != nil {
		return nil, err
	}
	var wanted newStreamKey
	if err := readJSON(in.Type, in.RawBody, &wanted); err != nil {
		return nil, err
	}
	if err := sluice.CheckStreamName(wanted.Stream); err != nil {
		return nil, err
	}
	if utf8.RuneCountInString(wanted.Name) > maxLabel || strings.ContainsFunc(wanted.Name, unicode.IsControl) {
		return nil, sluice.Errorf(sluice.CodeInvalid, "name is a line of up to %d characters", maxLabel)
	}
	key, secret, err := a.Keys.MakeKey(ctx, wanted.Stream, wanted.Name)
	if err != nil {
		return nil, err
	}
	return &body[madeStreamKey]{madeStreamKey{key, secret}}, nil
}

func (a API) listKeys(ctx context.Context, in *listKeysInput) (*body[list[sluice.StreamKey]], error) {
	if err := mayOperate(ctx); err != nil {
		return nil, err
	}
	if in.Stream != "" {
		if err := sluice.CheckStreamName(in.Stream); err != nil {
			return nil, err
		}
	}
	after, err := decodeCursor(in.Cursor)
	if err != nil {
		return nil, err
	}
	limit, err := in.Limit.read()
	if err != nil {
		return nil, err
	}
	keys, err := a.Keys.ListKeys(ctx, in.Stream, after, limit+1)
	if err != nil {
		return nil, err
	}
	out := list[sluice.StreamKey]{Items: keys}
	if len(keys) > limit {
		out.Items = keys[:limit]
		out.NextCursor = base64.RawURLEncoding.EncodeToString([]byte(keys[limit-1].ID))
	}
	if out.Items == nil {
		out.Items = []sluice.StreamKey{}
	}
	return &body[list[sluice.StreamKey]]{out}, nil
}

func (a API) revokeKey(ctx context.Context, in *keyInput) (*struct{}, error) {
	if err := mayOperate(ctx); err != nil {
		return nil, err
	}
	return &struct{}{}, a.Keys.RevokeKey(ctx, in.ID)
}
