package auth_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"hash"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/auth"
)

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// forge signs header and payload as they are, however wrong they may be.
func forge(h func() hash.Hash, secret, header, payload string) string {
	signed := b64(header) + "." + b64(payload)
	mac := hmac.New(h, []byte(secret))
	mac.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func TestAttacks(t *testing.T) {
	const hs256 = `{"alg":"HS256","typ":"JWT"}`
	// Far from now, so that the table needs no clock; the last good second is tested below.
	good := `{"iss":"APIa","sub":"eve","exp":4102444800,"video":{"room":"demo","roomJoin":true}}`
	body := func(claims string) string {
		return `{"iss":"APIa","video":{"room":"demo","roomJoin":true}` + claims + `}`
	}
	sha := sha256.New
	tests := []struct {
		name  string
		token string
	}{
		{"empty", ""},
		{"one part", "demo"},
		{"dots only", ".."},
		{"four parts", "a.b.c.d"},
		{"a megabyte of dots", strings.Repeat(".", 1<<20)},
		{"longer than the limit", forge(sha, secretA, hs256, `{"iss":"APIa","exp":4102444800,"name":"`+strings.Repeat("a", 4096)+`"}`)},
		{"alg none", b64(`{"alg":"none"}`) + "." + b64(good) + "."},
		{"alg None", b64(`{"alg":"None"}`) + "." + b64(good) + "."},
		{"alg missing", forge(sha, secretA, `{"typ":"JWT"}`, good)},
		{"alg a number", forge(sha, secretA, `{"alg":256}`, good)},
		{"alg HS512 with the right secret", forge(sha512.New, secretA, `{"alg":"HS512"}`, good)},
		{"alg RS256 with the HMAC of the secret", forge(sha, secretA, `{"alg":"RS256"}`, good)},
		{"alg in lower case", forge(sha, secretA, `{"alg":"hs256"}`, good)},
		{"no signature", b64(hs256) + "." + b64(good) + "."},
		{"wrong secret", forge(sha, "another-secret-012345678901234567890", hs256, good)},
		{"secret of the other key", forge(sha, secretB, hs256, good)},
		{"empty secret with unknown issuer", forge(sha, "", hs256, `{"iss":"nobody","exp":4102444800}`)},
		{"no issuer", forge(sha, secretA, hs256, `{"exp":4102444800}`)},
		{"issuer a list", forge(sha, secretA, hs256, `{"iss":["APIa"],"exp":4102444800}`)},
		{"kid as a path", forge(sha, "", `{"alg":"HS256","kid":"../../dev/null"}`, good)},
		{"kid as a URL", forge(sha, "", `{"alg":"HS256","kid":"http://169.254.169.254/","jku":"http://evil/"}`, good)},
		{"kid names the other key", forge(sha, secretB, `{"alg":"HS256","kid":"APIb"}`, good)},
		{"critical extension", forge(sha, secretA, `{"alg":"HS256","crit":["b64"],"b64":false}`, good)},
		{"no expiry", forge(sha, secretA, hs256, body(""))},
		{"expiry null", forge(sha, secretA, hs256, body(`,"exp":null`))},
		{"expiry zero", forge(sha, secretA, hs256, body(`,"exp":0`))},
		{"expiry a word", forge(sha, secretA, hs256, body(`,"exp":"never"`))},
		{"expiry beyond all calendars", forge(sha, secretA, hs256, body(`,"exp":9e18`))},
		{"expiry beyond all numbers", forge(sha, secretA, hs256, body(`,"exp":1e300`))},
		{"expiry negative", forge(sha, secretA, hs256, body(`,"exp":-1`))},
		{"expired", forge(sha, secretA, hs256, body(`,"exp":1500000000`))},
		{"not before in the future", forge(sha, secretA, hs256, body(`,"exp":4102444800,"nbf":4102444000`))},
		{"other audience", forge(sha, secretA, hs256, body(`,"exp":4102444800,"aud":"bank"`))},
		{"room is a path", forge(sha, secretA, hs256, `{"iss":"APIa","exp":4102444800,"video":{"room":"../etc","roomJoin":true}}`)},
		{"room too long", forge(sha, secretA, hs256, `{"iss":"APIa","exp":4102444800,"video":{"room":"`+strings.Repeat("r", 65)+`","roomJoin":true}}`)},
		{"payload not JSON", forge(sha, secretA, hs256, `exp`)},
		{"payload an array", forge(sha, secretA, hs256, `[]`)},
		{"payload null", forge(sha, secretA, hs256, `null`)},
		{"padding", forge(sha, secretA, hs256, good) + "="},
		{"white space", " " + forge(sha, secretA, hs256, good)},
	}
	a := authorizer(t, auth.ModeToken, bothKeys())
	if _, err := a.Authorize(t.Context(), forge(sha, secretA, hs256, good)); err != nil {
		t.Fatalf("the token that the attacks start from is refused: %v", err)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := a.Authorize(t.Context(), tt.token)
			wantRefusal(t, got, err)
		})
	}
}

func TestOtherTenantsRoom(t *testing.T) {
	token, err := auth.Mint(keyA, secretA, sluice.Grant{Stream: "mine", Publish: true, Watch: true, Moderate: true}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	g, err := authorizer(t, auth.ModeToken, bothKeys()).Authorize(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	if g.MayPublish("theirs") || g.MayWatch("theirs") || g.MayModerate("theirs") || !g.MayPublish("mine") {
		t.Errorf("grant %+v", g)
	}
}

func TestTimes(t *testing.T) {
	tests := []struct {
		name     string
		exp, nbf time.Duration // from now
		ok       bool
	}{
		{"now within", time.Minute, -time.Minute, true},
		{"expired within the leeway", -29 * time.Second, -time.Hour, true},
		{"expired beyond the leeway", -31 * time.Second, -time.Hour, false},
		{"not yet valid within the leeway", time.Hour, 29 * time.Second, true},
		{"not yet valid beyond the leeway", time.Hour, 31 * time.Second, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				now := time.Now()
				token := forge(sha256.New, secretA, `{"alg":"HS256"}`,
					fmt.Sprintf(`{"iss":"APIa","exp":%d,"nbf":%d}`, now.Add(tt.exp).Unix(), now.Add(tt.nbf).Unix()))
				_, err := authorizer(t, auth.ModeToken, bothKeys()).Authorize(t.Context(), token)
				if (err == nil) != tt.ok {
					t.Errorf("error %v, want accepted: %v", err, tt.ok)
				}
			})
		})
	}
}

func TestAudience(t *testing.T) {
	for _, aud := range []string{`"sluice"`, `["other","sluice"]`, `[]`} {
		token := forge(sha256.New, secretA, `{"alg":"HS256"}`, `{"iss":"APIa","exp":4102444800,"aud":`+aud+`}`)
		if _, err := authorizer(t, auth.ModeToken, bothKeys()).Authorize(t.Context(), token); err != nil {
			t.Errorf("aud %s: %v", aud, err)
		}
	}
}

// A refusal must cost little, however long the token is.
func TestLongTokenAllocatesLittle(t *testing.T) {
	a := authorizer(t, auth.ModeToken, bothKeys())
	long := strings.Repeat(".", 1<<20)
	n := testing.AllocsPerRun(100, func() { _, _ = a.Authorize(t.Context(), long) })
	if n > 20 {
		t.Errorf("%.0f allocations for a token of dots", n)
	}
}

func TestRefusalsShowNoToken(t *testing.T) {
	token := forge(sha256.New, "another-secret-012345678901234567890", `{"alg":"HS256"}`, `{"iss":"APIa","exp":4102444800}`)
	_, err := authorizer(t, auth.ModeToken, bothKeys()).Authorize(t.Context(), token)
	if err == nil || strings.Contains(err.Error(), token) || strings.Contains(err.Error(), secretA) {
		t.Errorf("error %v", err)
	}
}

func FuzzAuthorize(f *testing.F) {
	good, err := auth.Mint(keyA, secretA, sluice.Grant{Identity: "a", Stream: "demo", Publish: true}, time.Hour)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good + "x")
	f.Add("")
	f.Add("..")
	f.Add(b64(`{"alg":"none"}`) + "." + b64(`{"iss":"APIa","exp":1e300,"video":{"roomJoin":true}}`) + ".")
	f.Add(forge(sha256.New, secretA, `{"alg":"HS256"}`, `{"iss":"APIa","exp":9e18,"nbf":-9e18,"aud":[1]}`))
	f.Add(forge(sha256.New, secretA, `{"alg":"HS256"}`, `{"iss":"APIa","exp":4102444800,"video":{"canPublish":null,"canPublishSources":["x"]}}`))
	tokens, open := authorizer(f, auth.ModeToken, bothKeys()), authorizer(f, auth.ModeOpen, nil)
	f.Fuzz(func(t *testing.T, bearer string) {
		if got, err := open.Authorize(t.Context(), bearer); err != nil && len(bearer) <= auth.MaxToken {
			t.Errorf("open mode refuses: %+v %v", got, err)
		}
		got, err := tokens.Authorize(t.Context(), bearer)
		if err != nil {
			wantRefusal(t, got, err)
			return
		}
		if !signed(bearer, secretA) && !signed(bearer, secretB) {
			t.Errorf("accepted without a signature: %q", bearer)
		}
		if got.Stream != "" && sluice.CheckStreamName(got.Stream) != nil {
			t.Errorf("a grant for the stream %q", got.Stream)
		}
	})
}

// signed verifies a token by hand, as a second opinion.
func signed(token, secret string) bool {
	i := strings.LastIndexByte(token, '.')
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(token[:i]))
	return token[i+1:] == base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
