package sfu

import (
	"net/netip"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/srtp/v3"
	"github.com/pion/stun/v4"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/sfu/internal/egress"
)

// TestConsentIsAskedForWithTheMedia lets time pass for one viewer and looks at
// what arrives.
func TestConsentIsAskedForWithTheMedia(t *testing.T) {
	b := newBench()
	sender, peer := localUDP(t), localUDP(t)
	socket, err := egress.NewSocket(sender)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = socket.Close() }()
	b.sh.batch = egress.NewBatch(socket)
	seal, err := newSealer(srtp.ProtectionProfileAeadAes128Gcm, make([]byte, 16), make([]byte, 12))
	if err != nil {
		t.Fatal(err)
	}
	w := &directWire{sealer: seal, consent: &consent{}}
	terms := &consentTerms{username: stun.NewUsername("them:us"), password: stun.NewShortTermIntegrity("secret"), role: 7}
	w.consent.terms.Store(terms)
	to := netip.MustParseAddrPort(peer.LocalAddr().String())
	w.to.Store(&to)
	v := &Viewer{session: &session{sfu: b.sh.sfu}, stream: b.sh.stream, video: testTrack(nil), rtcp: b.out}
	b.sh.members = []*member{newMember(v, w, sluice.LayerChoice{}, b.now)}

	const minute = int64(time.Minute)
	asked := map[[stun.TransactionIDSize]byte]bool{}
	buf := make([]byte, 1500)
	for range minute / int64(100*time.Millisecond) {
		b.now += int64(100 * time.Millisecond)
		before := b.sh.members[0].asking
		b.sh.forward(b.now)
		b.sh.flush()
		if b.sh.members[0].asking == before {
			continue
		}
		if err := peer.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := peer.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		asked[checkRequest(t, buf[:n], terms)] = true
	}
	if n := int64(len(asked)); n < minute/(consentInterval+consentJitter)-1 || n > minute/(consentInterval-consentJitter)+1 {
		t.Errorf("asked %d times in a minute", n)
	}
}

func checkRequest(t *testing.T, raw []byte, terms *consentTerms) [stun.TransactionIDSize]byte {
	t.Helper()
	m := &stun.Message{Raw: raw}
	if err := m.Decode(); err != nil {
		t.Fatal(err)
	}
	var role ice.AttrControlled
	var priority ice.PriorityAttr
	var username stun.Username
	if err := m.Parse(&username, &role, &priority); err != nil {
		t.Fatal(err)
	}
	if m.Type != stun.BindingRequest || username.String() != terms.username.String() || role != terms.role || priority == 0 {
		t.Errorf("request %v", m)
	}
	if err := m.Check(terms.password, stun.Fingerprint); err != nil {
		t.Error(err)
	}
	return m.TransactionID
}
