package node

import (
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/auth"
	"github.com/sluice-live/sluice/internal/wish"
)

// passes is wish.Passes.
type passes struct{ tickets *auth.Tickets }

func (n *Node) passes() wish.Passes {
	if n.relays == nil {
		return nil
	}
	return passes{n.relays.tickets}
}

// Issue implements wish.Passes.
func (p passes) Issue(node, path string, v wish.Visit) (string, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	text, _, err := p.tickets.Sign(node, "POST "+path, body)
	return text + "~" + base64.RawURLEncoding.EncodeToString(body), err
}

// Redeem implements wish.Passes.
func (p passes) Redeem(pass, path string) (v wish.Visit, err error) {
	bad := sluice.Errorf(sluice.CodeUnauthenticated, "the ticket is not valid")
	text, visit, ok := strings.Cut(pass, "~")
	body, err := base64.RawURLEncoding.DecodeString(visit)
	if !ok || err != nil {
		return v, bad
	}
	if _, _, err := p.tickets.Check(text, "POST "+path, body); err != nil {
		return v, err
	}
	if json.Unmarshal(body, &v) != nil {
		return v, bad
	}
	return v, nil
}
