package auth_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	lkauth "github.com/livekit/protocol/auth"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/auth"
)

const (
	keyA    = "APIa"
	secretA = "secret-a-0123456789012345678901234567"
	keyB    = "APIb"
	secretB = "secret-b-0123456789012345678901234567"
)

func authorizer(t testing.TB, mode string, keys map[string]string) *auth.Authorizer {
	t.Helper()
	a, err := auth.New(auth.Config{Mode: mode, Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func bothKeys() map[string]string { return map[string]string{keyA: secretA, keyB: secretB} }

func TestNewRefuses(t *testing.T) {
	tests := []struct {
		name string
		cfg  auth.Config
		want string
	}{
		{"no mode", auth.Config{}, "mode"},
		{"unknown mode", auth.Config{Mode: "closed"}, "mode"},
		{"token without keys", auth.Config{Mode: auth.ModeToken}, "at least one API key"},
		{"short secret", auth.Config{Mode: auth.ModeToken, Keys: map[string]string{"k": "hunter2"}}, "at least 32"},
		{"empty key", auth.Config{Mode: auth.ModeOpen, Keys: map[string]string{"": secretA}}, "empty"},
		{"negative leeway", auth.Config{Mode: auth.ModeOpen, Leeway: -1}, "leeway"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := auth.New(tt.cfg)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want one with %q", err, tt.want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error shows the secret: %v", err)
			}
		})
	}
}

func TestOpenMode(t *testing.T) {
	all := sluice.Grant{Publish: true, Watch: true, Chat: true, Moderate: true}
	onDemo := all
	onDemo.Stream = "demo"
	valid, err := auth.Mint(keyA, secretA, sluice.Grant{Identity: "al", Stream: "demo", Watch: true}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		keys   map[string]string
		bearer string
		want   sluice.Grant
		refuse bool
	}{
		{name: "no bearer", want: all},
		{name: "stream name as bearer", bearer: "demo", want: onDemo},
		{name: "something else as bearer", bearer: "not a name!", want: all},
		{name: "JWT without keys", bearer: valid, want: all},
		{name: "foreign JWT with keys", keys: map[string]string{keyB: secretB}, bearer: valid, refuse: true},
		{name: "nonsense that looks like a JWT, with keys", keys: bothKeys(), bearer: "a.b.c", refuse: true},
		{name: "too long", bearer: strings.Repeat("a", auth.MaxToken+1), refuse: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := authorizer(t, auth.ModeOpen, tt.keys).Authorize(t.Context(), tt.bearer)
			if tt.refuse {
				wantRefusal(t, got, err)
				return
			}
			if err != nil || got != tt.want {
				t.Errorf("got %+v, %v; want %+v", got, err, tt.want)
			}
		})
	}

	got, err := authorizer(t, auth.ModeOpen, bothKeys()).Authorize(t.Context(), valid)
	if err != nil || got.Publish || !got.Watch || got.Identity != "al" || got.Stream != "demo" {
		t.Errorf("a good token in open mode gives %+v, %v", got, err)
	}
}

func wantRefusal(t *testing.T, got sluice.Grant, err error) {
	t.Helper()
	if sluice.CodeOf(err) != sluice.CodeUnauthenticated {
		t.Errorf("error %v, want code unauthenticated", err)
	}
	if got != (sluice.Grant{}) {
		t.Errorf("a refusal came with the grant %+v", got)
	}
}

func TestMintRoundTrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := authorizer(t, auth.ModeToken, bothKeys())
		grants := []sluice.Grant{
			{Identity: "alice", Name: "Alice Ä", Stream: "demo", Publish: true},
			{Identity: "bob", Stream: "demo", Watch: true, Chat: true},
			{Identity: "mod", Moderate: true},
			{Publish: true, Watch: true, Chat: true, Moderate: true},
			{Identity: "nothing"},
		}
		for _, key := range []string{keyA, keyB} {
			for _, want := range grants {
				token, err := auth.Mint(key, bothKeys()[key], want, time.Hour)
				if err != nil {
					t.Fatal(err)
				}
				got, err := a.Authorize(t.Context(), token)
				if err != nil {
					t.Fatalf("%+v: %v", want, err)
				}
				if !got.Expires.Equal(time.Now().Add(time.Hour)) {
					t.Errorf("expires %s", got.Expires)
				}
				got.Expires = time.Time{}
				if got != want {
					t.Errorf("got %+v, want %+v", got, want)
				}
			}
		}
	})
}

func TestMintRefuses(t *testing.T) {
	tests := []struct {
		name        string
		key, secret string
		grant       sluice.Grant
		ttl         time.Duration
	}{
		{"short secret", keyA, "short", sluice.Grant{}, time.Hour},
		{"no key", "", secretA, sluice.Grant{}, time.Hour},
		{"no time", keyA, secretA, sluice.Grant{}, 0},
		{"bad stream", keyA, secretA, sluice.Grant{Stream: "a/b"}, time.Hour},
		{"too long", keyA, secretA, sluice.Grant{Name: strings.Repeat("n", auth.MaxToken)}, time.Hour},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if token, err := auth.Mint(tt.key, tt.secret, tt.grant, tt.ttl); err == nil {
				t.Errorf("got the token %q", token)
			}
		})
	}
}

// TestLiveKitToken shows that what LiveKit's server SDK makes is understood.
func TestLiveKitToken(t *testing.T) {
	no := false
	tests := []struct {
		name  string
		video *lkauth.VideoGrant
		want  sluice.Grant
	}{
		{"joins with all rights by default", &lkauth.VideoGrant{RoomJoin: true, Room: "demo"},
			sluice.Grant{Stream: "demo", Publish: true, Watch: true, Chat: true}},
		{"may only watch", &lkauth.VideoGrant{RoomJoin: true, Room: "demo", CanPublish: &no},
			sluice.Grant{Stream: "demo", Watch: true}},
		{"may only publish", &lkauth.VideoGrant{RoomJoin: true, Room: "demo", CanSubscribe: &no},
			sluice.Grant{Stream: "demo", Publish: true, Chat: true}},
		{"any room", &lkauth.VideoGrant{RoomJoin: true},
			sluice.Grant{Publish: true, Watch: true, Chat: true}},
		{"admin who does not join", &lkauth.VideoGrant{RoomAdmin: true, Room: "demo"},
			sluice.Grant{Stream: "demo", Moderate: true}},
		{"may not join", &lkauth.VideoGrant{RoomCreate: true, RoomList: true}, sluice.Grant{}},
		{"no video grant", nil, sluice.Grant{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			token, err := lkauth.NewAccessToken(keyA, secretA).
				SetIdentity("alice").SetName("Alice").SetValidFor(time.Hour).
				SetMetadata(`{"x":1}`).SetAttributes(map[string]string{"a": "b"}).
				SetVideoGrant(tt.video).ToJWT()
			if err != nil {
				t.Fatal(err)
			}
			got, err := authorizer(t, auth.ModeToken, bothKeys()).Authorize(t.Context(), token)
			if err != nil {
				t.Fatal(err)
			}
			want := tt.want
			want.Identity, want.Name, want.Expires = "alice", "Alice", got.Expires
			if got != want || time.Until(got.Expires) < 59*time.Minute {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func TestLiveKitReadsOurToken(t *testing.T) {
	token, err := auth.Mint(keyA, secretA, sluice.Grant{Identity: "alice", Stream: "demo", Watch: true}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	v, err := lkauth.ParseAPIToken(token)
	if err != nil {
		t.Fatal(err)
	}
	_, grants, err := v.Verify(secretA)
	if err != nil {
		t.Fatal(err)
	}
	if v.APIKey() != keyA || grants.Identity != "alice" || grants.Video.Room != "demo" || grants.Video.GetCanPublish() || !grants.Video.GetCanSubscribe() {
		t.Errorf("LiveKit reads %+v %+v", grants, grants.Video)
	}
}

func TestGenerateKey(t *testing.T) {
	key, secret := auth.GenerateKey()
	again, secretAgain := auth.GenerateKey()
	if key == again || secret == secretAgain {
		t.Error("the same key twice")
	}
	if _, err := auth.New(auth.Config{Mode: auth.ModeToken, Keys: map[string]string{key: secret}}); err != nil {
		t.Error(err)
	}
}
