package node

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/auth"
	"github.com/sluice-live/sluice/internal/wish"
)

func TestPasses(t *testing.T) {
	secret := strings.Repeat("s", 32)
	tickets := map[string]*auth.Tickets{}
	for _, id := range []string{"a", "b", "c"} {
		tickets[id] = auth.NewTickets(id)
		tickets[id].SetSecret(secret)
	}
	visit := wish.Visit{Grant: sluice.Grant{Identity: "alice", Stream: "demo", Publish: true, Tier: 3}, Owner: [32]byte{1, 2}, InURL: true}
	issue := func() string {
		pass, err := passes{tickets["a"]}.Issue("b", "/whip/demo", visit)
		if err != nil {
			t.Fatal(err)
		}
		return pass
	}
	pass := issue()
	got, err := passes{tickets["b"]}.Redeem(pass, "/whip/demo")
	if err != nil || got != visit {
		t.Errorf("got %+v, %v", got, err)
	}
	other := issue()
	text, body, _ := strings.Cut(other, "~")
	for name, bad := range map[string]struct{ node, pass, path string }{
		"used":          {"b", pass, "/whip/demo"},
		"another node":  {"c", issue(), "/whip/demo"},
		"another path":  {"b", issue(), "/whep/demo"},
		"another grant": {"b", text + "~" + strings.Replace(body, "a", "b", 1), "/whip/demo"},
		"no grant":      {"b", text, "/whip/demo"},
		"nothing":       {"b", "~", "/whip/demo"},
		"no base64":     {"b", text + "~!", "/whip/demo"},
	} {
		if v, err := (passes{tickets[bad.node]}).Redeem(bad.pass, bad.path); sluice.CodeOf(err) != sluice.CodeUnauthenticated {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
	}
}

func TestAvoid(t *testing.T) {
	t.Parallel()
	p := newPlacer("a", "eu", nil)
	from, near, far := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("::ffff:192.0.2.200"), netip.MustParseAddr("198.51.100.1")
	p.avoid(from, "b")
	if !p.avoids(from)("b") || !p.avoids(near)("b") {
		t.Error("the node is not avoided")
	}
	if p.avoids(from)("c") || p.avoids(far)("b") || p.avoids(netip.Addr{})("b") {
		t.Error("too much is avoided")
	}
	p.avoid(netip.Addr{}, "b") // an address that is not known
	for i := range 2 * maxAway {
		p.avoid(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), "b")
	}
	if len(p.away) > maxAway {
		t.Errorf("%d reports are remembered", len(p.away))
	}
}
