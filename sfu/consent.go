package sfu

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v4"
	"github.com/pion/webrtc/v4"
)

// consentInterval is how often a viewer that a shard sends to is asked for its
// consent, about: a share of consentJitter is left to chance (RFC 7675 section
// 5.1 asks for a fifth).
const (
	consentInterval = int64(3 * time.Second)
	consentJitter   = consentInterval / 5
)

// consent asks a viewer whether it still wants what is sent to it (RFC 7675).
// The requests leave with its media: Pion would send them from a timer of each
// session, every 2 s at the least, and an idle process is dear to wake. Pion gets
// the answers, and ends the session when nothing comes any more.
type consent struct {
	transport *webrtc.ICETransport
	terms     atomic.Pointer[consentTerms]
}

// consentTerms are what requests are made of.
type consentTerms struct {
	username stun.Username
	password stun.MessageIntegrity
	role     ice.AttrControlled
}

// renew takes the credentials that count from now on.
func (c *consent) renew() error {
	local, err := c.transport.GetLocalParameters()
	if err != nil {
		return fmt.Errorf("consent: %w", err)
	}
	remote, err := c.transport.GetRemoteParameters()
	if err != nil {
		return fmt.Errorf("consent: %w", err)
	}
	c.terms.Store(&consentTerms{
		username: stun.NewUsername(remote.UsernameFragment + ":" + local.UsernameFragment),
		password: stun.NewShortTermIntegrity(remote.Password),
		role:     ice.AttrControlled(rand.Uint64()),
	})
	return nil
}

// consentPriority is that of a peer-reflexive candidate (RFC 8445 section 7.1.1).
const consentPriority = ice.PriorityAttr(110<<24 | 65535<<8 | 255)

// request makes a binding request (RFC 8445 section 7.2.2) of a controlled agent.
func (t *consentTerms) request() ([]byte, error) {
	m, err := stun.Build(stun.BindingRequest, stun.TransactionID, t.username, t.role, consentPriority, t.password, stun.Fingerprint)
	if err != nil {
		return nil, err
	}
	return m.Raw, nil
}

// asksConsent reports whether the shard asks the viewer, and Pion does not: it
// has to send to the viewer itself, and neither side may be ICE-lite.
func (s *SFU) asksConsent(o *offered, keys *dtlsKeys) bool {
	_, lite := o.desc.Attribute("ice-lite")
	return keys != nil && !lite && !s.cfg.ICELite && o.section("video") != nil
}

// ask asks for consent when it is time to.
func (m *member) ask(sh *shard, now int64) {
	if now < m.asking {
		return
	}
	m.asking = now + consentInterval + rand.Int64N(2*consentJitter) - consentJitter
	w, ok := m.video.wire.(*directWire)
	if !ok || w.consent == nil {
		return
	}
	request, err := w.consent.terms.Load().request()
	if err != nil {
		m.viewer.log.Debug("ask for consent", "err", err)
		return
	}
	sh.batch.Add(*w.to.Load(), copy(sh.batch.Space(), request))
}
