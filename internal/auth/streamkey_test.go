package auth_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/auth"
)

// drawer keeps keys in memory and counts the questions.
type drawer struct {
	keys  map[auth.KeyHash]sluice.StreamKey
	away  error
	asked int
}

func (d *drawer) FindKey(_ context.Context, hash auth.KeyHash) (sluice.StreamKey, error) {
	d.asked++
	key, ok := d.keys[hash]
	switch {
	case d.away != nil:
		return key, d.away
	case !ok:
		return key, sluice.Errorf(sluice.CodeNotFound, "none")
	}
	return key, nil
}

func (d *drawer) add(t testing.TB, id, stream string) string {
	t.Helper()
	secret := auth.NewStreamKey()
	hash, err := auth.HashStreamKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	d.keys[hash] = sluice.StreamKey{ID: id, Stream: stream}
	return secret
}

func keyring(t testing.TB, mode string, d *drawer) *auth.Keyring {
	t.Helper()
	return auth.NewKeyring(authorizer(t, mode, bothKeys()), d, func(context.Context) error { return nil })
}

func TestStreamKeyForm(t *testing.T) {
	key := auth.NewStreamKey()
	if !strings.HasPrefix(key, "sk_") || len(key) != 42 || key == auth.NewStreamKey() {
		t.Errorf("key %q", key)
	}
	for _, bad := range []string{
		"", "sk_", key[:41], key + "a", strings.ToUpper(key), "SK_" + key[3:], " " + key, key[:41] + "\n", key[:20] + "\n" + key[20:],
		"pk_" + key[3:], "sk_" + strings.Repeat("a", 38) + "b", strings.Replace(key, key[5:7], "11", 1), key[:41] + "=",
	} {
		if _, err := auth.HashStreamKey(bad); sluice.CodeOf(err) != sluice.CodeUnauthenticated {
			t.Errorf("%q: %v", bad, err)
		} else if len(bad) > 3 && strings.Contains(err.Error(), bad) {
			t.Errorf("the error shows it: %v", err)
		}
	}
}

func TestKeyring(t *testing.T) {
	for _, mode := range []string{auth.ModeOpen, auth.ModeToken} {
		t.Run(mode, func(t *testing.T) {
			d := &drawer{keys: map[auth.KeyHash]sluice.StreamKey{}}
			k := keyring(t, mode, d)
			secret := d.add(t, "k1", "demo")
			g, err := k.Authorize(t.Context(), secret)
			if err != nil || g != (sluice.Grant{Stream: "demo", Publish: true}) {
				t.Errorf("grant %+v, %v", g, err)
			}
			for name, bearer := range map[string]string{"unknown": auth.NewStreamKey(), "mistyped": secret[:41], "short": "sk_demo"} {
				if g, err := k.Authorize(t.Context(), bearer); sluice.CodeOf(err) != sluice.CodeUnauthenticated || g != (sluice.Grant{}) {
					t.Errorf("%s: %+v, %v", name, g, err)
				}
			}
			if d.asked != 2 {
				t.Errorf("%d were looked up, want 2", d.asked)
			}
			d.away = errors.New("no connection")
			var e *sluice.Error
			if _, err := k.Authorize(t.Context(), d.add(t, "k2", "demo")); !errors.As(err, &e) || e.Code != sluice.CodeUnavailable || e.RetryAfter <= 0 {
				t.Errorf("while the database is away: %v", err)
			}
			token, err := auth.Mint(keyA, secretA, sluice.Grant{Stream: "demo", Watch: true}, time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			if g, err := k.Authorize(t.Context(), token); err != nil || !g.MayWatch("demo") {
				t.Errorf("a token: %+v, %v", g, err)
			}
		})
	}
}

// TestStreamKeyElsewhere: where there is no publishing, a key gives nothing, and in
// open mode it takes nothing and names no stream.
func TestStreamKeyElsewhere(t *testing.T) {
	secret := auth.NewStreamKey()
	if g, err := authorizer(t, auth.ModeToken, bothKeys()).Authorize(t.Context(), secret); sluice.CodeOf(err) != sluice.CodeForbidden || g != (sluice.Grant{}) {
		t.Errorf("token mode: %+v, %v", g, err)
	}
	if g, err := authorizer(t, auth.ModeOpen, nil).Authorize(t.Context(), secret); err != nil || g.Stream != "" || !g.Watch {
		t.Errorf("open mode: %+v, %v", g, err)
	}
}

func TestKeyringForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &drawer{keys: map[auth.KeyHash]sluice.StreamKey{}}
		k := keyring(t, auth.ModeToken, d)
		here, there := d.add(t, "k1", "demo"), d.add(t, "k2", "demo")
		may := func(secret string) bool {
			_, err := k.Authorize(t.Context(), secret)
			return err == nil
		}
		for range 100 {
			if !may(here) || !may(there) {
				t.Fatal("a good key is refused")
			}
		}
		if d.asked != 2 {
			t.Errorf("%d questions for 200 requests", d.asked)
		}
		clear(d.keys)
		k.Forget("k1")
		if may(here) {
			t.Error("a key that was revoked here is good")
		}
		if !may(there) {
			t.Error("what is remembered is not used")
		}
		<-time.After(auth.KeyLife) // of the bubble's clock
		if may(there) {
			t.Error("a key that was revoked elsewhere is good for too long")
		}
	})
}

// TestGuessedKeys: keys that do not exist are looked up only so often, and not at all
// for a caller that has been refused too often.
func TestGuessedKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &drawer{keys: map[auth.KeyHash]sluice.StreamKey{}}
		k := keyring(t, auth.ModeToken, d)
		known := d.add(t, "k1", "demo")
		if _, err := k.Authorize(t.Context(), known); err != nil {
			t.Fatal(err)
		}
		last := error(nil)
		for range 1000 {
			_, last = k.Authorize(t.Context(), auth.NewStreamKey())
		}
		if d.asked > 120 || sluice.CodeOf(last) != sluice.CodeUnavailable {
			t.Errorf("%d guesses were looked up; the last one: %v", d.asked, last)
		}
		if _, err := k.Authorize(t.Context(), known); err != nil {
			t.Errorf("a known key meanwhile: %v", err)
		}
		barred := auth.NewKeyring(authorizer(t, auth.ModeToken, bothKeys()), d, func(context.Context) error {
			return sluice.Errorf(sluice.CodeTooManyRequests, "no")
		})
		d.asked = 0
		if _, err := barred.Authorize(t.Context(), known); sluice.CodeOf(err) != sluice.CodeTooManyRequests || d.asked != 0 {
			t.Errorf("%v after %d questions", err, d.asked)
		}
	})
}

func FuzzStreamKey(f *testing.F) {
	f.Add(auth.NewStreamKey())
	f.Add("sk_")
	f.Add("sk_" + strings.Repeat("a", 39))
	f.Add("sk_" + strings.Repeat("7", 39) + "\r\n")
	d := &drawer{keys: map[auth.KeyHash]sluice.StreamKey{}}
	k := keyring(f, auth.ModeOpen, d)
	f.Fuzz(func(t *testing.T, bearer string) {
		_, err := auth.HashStreamKey(bearer)
		if err == nil && (len(bearer) != 42 || strings.Trim(bearer[3:], "abcdefghijklmnopqrstuvwxyz234567") != "") {
			t.Errorf("%q is a key", bearer)
		}
		if strings.HasPrefix(bearer, "sk_") {
			if g, err := k.Authorize(t.Context(), bearer); err == nil {
				t.Errorf("%q grants %+v", bearer, g)
			}
		}
	})
}
