package wish

import (
	"crypto/sha256"
	"errors"
	"net/http"
	"net/url"

	sluice "github.com/sluice-live/sluice"
)

// Visit is a caller whom another node has checked and sent on.
type Visit struct {
	Grant sluice.Grant      `json:"grant"`
	Owner [sha256.Size]byte `json:"owner"` // digest of its bearer, which goes on using the session
	InURL bool              `json:"inUrl"` // the bearer came in the URL
}

// Passes are one-use tickets between nodes: clients do not take their
// Authorization along when they are redirected to another host.
type Passes interface {
	// Issue makes a pass for a path of the node of that id.
	Issue(node, path string, v Visit) (string, error)
	// Redeem reads a pass for a path of this node, and uses it up.
	// CodeUnauthenticated: it is not good.
	Redeem(pass, path string) (Visit, error)
}

// passParam is the query parameter that holds a pass.
const passParam = "ticket"

// visit reads the caller's pass, if it brings one.
func (e *Endpoint[S]) visit(r *http.Request, stream string) (Visit, bool, error) {
	if e.config.Passes == nil || r.URL.RawQuery == "" {
		return Visit{}, false, nil
	}
	pass := r.URL.Query().Get(passParam)
	if pass == "" {
		return Visit{}, false, nil
	}
	v, err := e.config.Passes.Redeem(pass, e.kind.Base+"/"+stream)
	if err != nil {
		return Visit{}, false, e.limiter.Refuse(Remote(r), err)
	}
	return v, true, nil
}

// send gives a caller that is to go to another node the address with a pass.
func (e *Endpoint[S]) send(err error, stream string, v Visit) error {
	to, ok := errors.AsType[*sluice.Error](err)
	if !ok || to.Code != sluice.CodeElsewhere || to.Elsewhere == nil || e.config.Passes == nil {
		return err
	}
	path := e.kind.Base + "/" + stream
	pass, issueErr := e.config.Passes.Issue(to.Elsewhere.Node, path, v)
	if issueErr != nil {
		return &sluice.Error{Code: sluice.CodeUnavailable, Detail: to.Detail, Err: issueErr}
	}
	sent := *to
	sent.Elsewhere = &sluice.Elsewhere{Node: to.Elsewhere.Node, URL: to.Elsewhere.URL + path + "?" + url.Values{passParam: {pass}}.Encode()}
	return &sent
}
