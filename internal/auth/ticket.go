package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sluice-live/sluice"
)

const (
	// ticketLife is how long a ticket is valid.
	ticketLife = 15 * time.Second
	// ticketLeeway forgives clocks of nodes that differ.
	ticketLeeway = 30 * time.Second
	// maxTickets bounds the used tickets that are remembered.
	maxTickets = 1 << 16
	// maxFormer is how many former secrets are still good for checking.
	maxFormer = 1
)

// Tickets signs and checks what nodes send each other, with a secret that they
// share: HS256, short-lived, bound to sender, receiver, request and body, and good
// for one use.
type Tickets struct {
	self   string
	parser *jwt.Parser

	mu      sync.Mutex
	secrets []string             // the present one first
	used    map[string]time.Time // when they expire
}

type ticketClaims struct {
	jwt.RegisteredClaims
	Hash string `json:"hash"` // of the body
}

// NewTickets makes the tickets of a node. It has no secret yet.
func NewTickets(self string) *Tickets {
	return &Tickets{
		self: self, used: map[string]time.Time{},
		parser: jwt.NewParser(
			jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
			jwt.WithExpirationRequired(), jwt.WithLeeway(ticketLeeway), jwt.WithStrictDecoding(),
			jwt.WithAudience(self), jwt.WithIssuedAt(),
		),
	}
}

// SetSecret sets what tickets are signed with. The one before is good for checking
// until the next call that changes it.
func (t *Tickets) SetSecret(secret string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.secrets) > 0 && t.secrets[0] == secret {
		return
	}
	t.secrets = append([]string{secret}, t.secrets[:min(len(t.secrets), maxFormer)]...)
}

// Secret is what tickets are signed with, "" when none is set.
func (t *Tickets) Secret() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.secrets) == 0 {
		return ""
	}
	return t.secrets[0]
}

// Sign returns a ticket of a message from this node to another, and its id. about
// is the method and path of a request, or the id of the ticket that is answered.
func (t *Tickets) Sign(to, about string, body []byte) (ticket, id string, err error) {
	secret := t.Secret()
	if len(secret) < MinSecret {
		return "", "", sluice.Errorf(sluice.CodeUnavailable, "the secret of the cluster is not known yet")
	}
	now := time.Now()
	id = rand.Text()
	ticket, err = jwt.NewWithClaims(jwt.SigningMethodHS256, ticketClaims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: t.self, Audience: jwt.ClaimStrings{to}, Subject: about, ID: id,
			IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(ticketLife)),
		},
		Hash: hash(body),
	}).SignedString([]byte(secret))
	if err != nil {
		return "", "", fmt.Errorf("auth: sign ticket: %w", err)
	}
	return ticket, id, nil
}

// Check returns the node that a ticket for this node is from, and the ticket's id,
// and uses it up. Every error but CodeUnavailable is CodeUnauthenticated.
func (t *Tickets) Check(ticket, about string, body []byte) (from, id string, err error) {
	if len(ticket) > MaxToken {
		return "", "", refusal("a ticket has at most %d bytes", MaxToken)
	}
	t.mu.Lock()
	secrets := t.secrets
	t.mu.Unlock()
	var c ticketClaims
	err = errors.New("no secret is known")
	for _, secret := range secrets {
		c = ticketClaims{}
		_, err = t.parser.ParseWithClaims(ticket, &c, func(*jwt.Token) (any, error) { return []byte(secret), nil })
		if err == nil {
			break
		}
	}
	switch {
	case err != nil:
		return "", "", refuse("the ticket is not valid", err)
	case c.Subject != about || c.Hash != hash(body) || c.ID == "" || c.Issuer == "":
		return "", "", refuse("the ticket is for something else", nil)
	case c.ExpiresAt.After(time.Now().Add(ticketLife + ticketLeeway)):
		return "", "", refuse("the ticket lives too long", nil)
	}
	if err := t.use(c.ID, c.ExpiresAt.Add(ticketLeeway)); err != nil {
		return "", "", err
	}
	return c.Issuer, c.ID, nil
}

// use notes a ticket's id until its end.
func (t *Tickets) use(id string, end time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, used := t.used[id]; used {
		return refuse("the ticket has been used", nil)
	}
	if len(t.used) >= maxTickets {
		now := time.Now()
		for old, end := range t.used {
			if now.After(end) {
				delete(t.used, old)
			}
		}
	}
	if len(t.used) >= maxTickets {
		return &sluice.Error{Code: sluice.CodeUnavailable, Detail: "too many tickets at a time", RetryAfter: time.Second}
	}
	t.used[id] = end
	return nil
}

func hash(body []byte) string {
	sum := sha256.Sum256(body)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
