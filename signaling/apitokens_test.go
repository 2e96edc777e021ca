package signaling_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/auth"
	"github.com/sluice-live/sluice/signaling"
)

func TestTokenRoute(t *testing.T) {
	const key, secret = "APItest", "0123456789abcdef0123456789abcdef"
	engine := gin.New()
	sign := func(g sluice.Grant, ttl time.Duration) (string, error) { return auth.Mint(key, secret, g, ttl) }
	if err := (signaling.API{Streams: testStation(), Auth: testTokens(), Sign: sign}).Routes(engine); err != nil {
		t.Fatal(err)
	}
	reader, err := auth.New(auth.Config{Mode: auth.ModeToken, Keys: map[string]string{key: secret}})
	if err != nil {
		t.Fatal(err)
	}
	const year = 366 * 24 * time.Hour
	long := strings.Repeat("<", 128)
	for _, tt := range []struct {
		name, bearer, body string
		status             int
		want               sluice.Grant
		ttl                time.Duration
	}{
		{"to watch", "all", `{"stream":"demo","watch":true}`, 201, sluice.Grant{Stream: "demo", Watch: true, Chat: true}, 2 * time.Hour},
		{"to publish", "all", `{"stream":"demo","publish":true,"identity":"alice","name":"Alicé","tier":3,"ttlSeconds":60}`, 201,
			sluice.Grant{Stream: "demo", Publish: true, Chat: true, Identity: "alice", Name: "Alicé", Tier: 3}, time.Minute},
		{"to moderate for a year", "all", `{"stream":"demo","moderate":true,"ttlSeconds":31622400}`, 201, sluice.Grant{Stream: "demo", Moderate: true, Chat: true}, year},
		{"with long names", "all", `{"stream":"demo","watch":true,"identity":"` + long + `","name":"` + long + `"}`, 201,
			sluice.Grant{Stream: "demo", Watch: true, Chat: true, Identity: long, Name: long}, 2 * time.Hour},
		{"by a moderator", "mod", `{"stream":"show","watch":true}`, 403, sluice.Grant{}, 0},
		{"by a publisher", "publish", `{"stream":"demo","watch":true}`, 403, sluice.Grant{}, 0},
		{"without a right", "all", `{"stream":"demo"}`, 400, sluice.Grant{}, 0},
		{"for all streams", "all", `{"watch":true}`, 400, sluice.Grant{}, 0},
		{"for a bad stream", "all", `{"stream":"a/b","watch":true}`, 400, sluice.Grant{}, 0},
		{"for too long", "all", `{"stream":"demo","watch":true,"ttlSeconds":31622401}`, 400, sluice.Grant{}, 0},
		{"for no time", "all", `{"stream":"demo","watch":true,"ttlSeconds":0.5}`, 400, sluice.Grant{}, 0},
		{"for ever", "all", `{"stream":"demo","watch":true,"ttlSeconds":1e300}`, 400, sluice.Grant{}, 0},
		{"of the past", "all", `{"stream":"demo","watch":true,"ttlSeconds":-1}`, 400, sluice.Grant{}, 0},
		{"of a tier beyond", "all", `{"stream":"demo","watch":true,"tier":10}`, 400, sluice.Grant{}, 0},
		{"with names that are too long", "all", `{"stream":"demo","watch":true,"name":"` + long + `x"}`, 400, sluice.Grant{}, 0},
		{"of nonsense", "all", `"`, 400, sluice.Grant{}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := call(engine, "POST", "/api/v1/tokens", tt.bearer, tt.body)
			if w.Code != tt.status {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			checkProblem(t, w)
			if tt.status != 201 {
				return
			}
			var made struct {
				Token, Stream string
				Expires       time.Time
			}
			if err := json.Unmarshal(w.Body.Bytes(), &made); err != nil {
				t.Fatal(err)
			}
			got, err := reader.Authorize(t.Context(), made.Token)
			if err != nil {
				t.Fatal(err)
			}
			if off := got.Expires.Sub(made.Expires).Abs(); off > time.Second || time.Until(made.Expires) > tt.ttl || time.Until(made.Expires) < tt.ttl-time.Minute/2 {
				t.Errorf("expires %v, in the token %v", made.Expires, got.Expires)
			}
			got.Expires = time.Time{}
			if got != tt.want || made.Stream != "demo" {
				t.Errorf("grants %+v", got)
			}
		})
	}
	if w := call(engine, "GET", "/api/v1/openapi.json", "", ""); !strings.Contains(w.Body.String(), `"#/components/schemas/NewToken"`) {
		t.Errorf("the document: %s", w.Body)
	}
}
