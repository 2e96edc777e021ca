package auth_test

import (
	"strings"
	"testing"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/auth"
)

func TestTickets(t *testing.T) {
	secret := strings.Repeat("s", auth.MinSecret)
	a, b := auth.NewTickets("a"), auth.NewTickets("b")
	if _, _, err := a.Sign("b", "GET /x", nil); sluice.CodeOf(err) != sluice.CodeUnavailable {
		t.Errorf("without a secret: %v", err)
	}
	a.SetSecret(secret)
	b.SetSecret(secret)
	sign := func(by *auth.Tickets, to, about, body string) string {
		t.Helper()
		ticket, _, err := by.Sign(to, about, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		return ticket
	}
	good := sign(a, "b", "POST /x", "body")
	for name, c := range map[string]struct{ ticket, about, body string }{
		"another body":      {good, "POST /x", "other"},
		"another path":      {good, "POST /y", "body"},
		"another node":      {sign(a, "c", "POST /x", "body"), "POST /x", "body"},
		"no ticket":         {"", "POST /x", "body"},
		"a broken one":      {good[:len(good)-2], "POST /x", "body"},
		"without signature": {"eyJhbGciOiJub25lIn0" + good[strings.Index(good, "."):], "POST /x", "body"},
		"far too long":      {strings.Repeat("a.", auth.MaxToken), "POST /x", "body"},
	} {
		if _, _, err := b.Check(c.ticket, c.about, []byte(c.body)); sluice.CodeOf(err) != sluice.CodeUnauthenticated {
			t.Errorf("%s: %v", name, err)
		}
	}
	from, _, err := b.Check(good, "POST /x", []byte("body"))
	if err != nil || from != "a" {
		t.Fatalf("from %q: %v", from, err)
	}
	if _, _, err := b.Check(good, "POST /x", []byte("body")); sluice.CodeOf(err) != sluice.CodeUnauthenticated {
		t.Errorf("used twice: %v", err)
	}
	// The secret changes: tickets of before are good for a while.
	old := sign(a, "b", "POST /x", "")
	b.SetSecret(strings.Repeat("n", auth.MinSecret))
	if _, _, err := b.Check(old, "POST /x", nil); err != nil {
		t.Errorf("of the secret before: %v", err)
	}
	b.SetSecret(strings.Repeat("m", auth.MinSecret))
	if _, _, err := b.Check(sign(a, "b", "POST /x", ""), "POST /x", nil); err == nil {
		t.Error("a secret of long ago is good")
	}
}

func FuzzTicket(f *testing.F) {
	a := auth.NewTickets("a")
	a.SetSecret(strings.Repeat("s", auth.MinSecret))
	good, _, err := a.Sign("a", "GET /x", nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add("")
	f.Add("..")
	stranger := auth.NewTickets("a")
	stranger.SetSecret(strings.Repeat("t", auth.MinSecret))
	f.Fuzz(func(t *testing.T, ticket string) {
		if _, _, err := stranger.Check(ticket, "GET /x", nil); err == nil {
			t.Errorf("%q is accepted", ticket)
		}
	})
}
