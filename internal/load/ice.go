package load

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/stun/v4"
)

// credentials are the ICE user fragment and password of one side.
type credentials struct{ ufrag, pwd string }

func newCredentials() credentials {
	var b [16]byte
	rand.Read(b[:]) // never fails
	text := hex.EncodeToString(b[:])
	return credentials{ufrag: text[:8], pwd: text[8:]}
}

// How connectivity checks are repeated.
const (
	checkInterval    = 50 * time.Millisecond
	checkIntervalMax = 400 * time.Millisecond
)

// validBacklog is how many answers wait for connect.
const validBacklog = 8

// consentExpiry is how long a peer may be silent (RFC 7675 section 5.1).
const consentExpiry = 30 * time.Second

// hostPriority is that of a host candidate (RFC 8445 section 5.1.2.1).
const hostPriority = 126<<24 | 65535<<8 | 255

// iceAgent is the controlling ICE agent of one socket with one host candidate.
// It is all that a client needs that can reach the server by itself.
type iceAgent struct {
	local credentials
	send  func(b []byte, to netip.AddrPort) error

	mu       sync.Mutex
	remote   credentials // set by connect
	sent     map[[stun.TransactionIDSize]byte]check
	valid    chan check // the first answers, for connect
	selected netip.AddrPort
	heard    int64 // when the peer last answered, of the wall clock
}

// check is one connectivity check.
type check struct {
	to       netip.AddrPort
	nominate bool
}

func newICEAgent(send func([]byte, netip.AddrPort) error) *iceAgent {
	return &iceAgent{
		local: newCredentials(), send: send,
		sent: map[[stun.TransactionIDSize]byte]check{}, valid: make(chan check, validBacklog),
	}
}

// connect checks the candidates and returns the one that was nominated.
func (a *iceAgent) connect(ctx context.Context, remote credentials, candidates []netip.AddrPort) (netip.AddrPort, error) {
	if len(candidates) == 0 {
		return netip.AddrPort{}, errors.New("ICE: the answer has no UDP candidate that can be reached from here")
	}
	a.mu.Lock()
	a.remote = remote
	a.mu.Unlock()
	best := check{}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for interval := checkInterval; ; {
		select {
		case <-ctx.Done():
			return netip.AddrPort{}, errors.New("ICE: no candidate of the server answers")
		case c := <-a.valid:
			if c.nominate {
				return c.to, nil
			}
			if best.to.IsValid() {
				continue // one is nominated already
			}
			best = c
			if err := a.check(check{to: best.to, nominate: true}); err != nil {
				return netip.AddrPort{}, err
			}
		case <-timer.C:
			if err := a.checkAll(best, candidates); err != nil {
				return netip.AddrPort{}, err
			}
			timer.Reset(interval)
			interval = min(2*interval, checkIntervalMax)
		}
	}
}

// insist repeats the nomination until the returned function is called, as
// browsers do until media flows: a server may take one that comes while its own
// checks are under way for later.
func (a *iceAgent) insist(to netip.AddrPort) (stop func()) {
	quit := make(chan struct{})
	var insisting sync.WaitGroup
	insisting.Go(func() {
		tick := time.NewTicker(checkInterval)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
				_ = a.check(check{to: to, nominate: true}) // the next says the same
			}
		}
	})
	return func() { close(quit); insisting.Wait() }
}

// checkAll repeats the nomination, or checks every candidate. One candidate
// that cannot be sent to is no error.
func (a *iceAgent) checkAll(best check, candidates []netip.AddrPort) error {
	if best.to.IsValid() {
		return a.check(check{to: best.to, nominate: true})
	}
	var errs []error
	for _, c := range candidates {
		if err := a.check(check{to: c}); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) == len(candidates) {
		return errors.Join(errs...)
	}
	return nil
}

// check sends one binding request.
func (a *iceAgent) check(c check) error {
	a.mu.Lock()
	remote := a.remote
	a.mu.Unlock()
	setters := []stun.Setter{
		stun.BindingRequest, stun.TransactionID,
		stun.NewUsername(remote.ufrag + ":" + a.local.ufrag),
		uint32Attribute{stun.AttrPriority, hostPriority},
		stun.RawAttribute{Type: stun.AttrICEControlling, Value: []byte("\x7fload\x00\x01\x02")},
	}
	if c.nominate {
		setters = append(setters, stun.RawAttribute{Type: stun.AttrUseCandidate})
	}
	m, err := stun.Build(append(setters, stun.NewShortTermIntegrity(remote.pwd), stun.Fingerprint)...)
	if err != nil {
		return err
	}
	a.mu.Lock()
	a.sent[m.TransactionID] = c
	a.mu.Unlock()
	return a.send(m.Raw, c.to)
}

// uint32Attribute is a STUN attribute of one number.
type uint32Attribute struct {
	kind  stun.AttrType
	value uint32
}

// AddTo implements stun.Setter.
func (u uint32Attribute) AddTo(m *stun.Message) error {
	m.Add(u.kind, []byte{byte(u.value >> 24), byte(u.value >> 16), byte(u.value >> 8), byte(u.value)})
	return nil
}

// receive takes a STUN message. What is not the peer's is dropped.
func (a *iceAgent) receive(b []byte, from netip.AddrPort, at int64) {
	m := &stun.Message{Raw: b}
	if m.Decode() != nil {
		return
	}
	switch m.Type {
	case stun.BindingRequest:
		if stun.NewShortTermIntegrity(a.local.pwd).Check(m) == nil {
			a.answer(m, from)
		}
	case stun.BindingSuccess:
		a.succeeded(m, at)
	}
}

func (a *iceAgent) answer(m *stun.Message, from netip.AddrPort) {
	response, err := stun.Build(
		stun.NewTransactionIDSetter(m.TransactionID), stun.BindingSuccess,
		&stun.XORMappedAddress{IP: from.Addr().AsSlice(), Port: int(from.Port())},
		stun.NewShortTermIntegrity(a.local.pwd), stun.Fingerprint)
	if err == nil {
		_ = a.send(response.Raw, from) // the peer asks again
	}
}

func (a *iceAgent) succeeded(m *stun.Message, at int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, ours := a.sent[m.TransactionID]
	if !ours || stun.NewShortTermIntegrity(a.remote.pwd).Check(m) != nil {
		return
	}
	a.heard = at
	if c.nominate {
		clear(a.sent)
		a.selected = c.to
	} else {
		delete(a.sent, m.TransactionID)
	}
	select {
	case a.valid <- c:
	default: // connect has enough
	}
}

// consent asks the peer whether it still wants what we send, and reports
// whether it has answered lately. Before the nomination it does nothing.
func (a *iceAgent) consent(now int64) bool {
	a.mu.Lock()
	selected, heard := a.selected, a.heard
	clear(a.sent)
	a.mu.Unlock()
	if !selected.IsValid() {
		return true
	}
	_ = a.check(check{to: selected, nominate: true}) // a lost one shows in heard
	return time.Duration(now-heard) < consentExpiry
}
