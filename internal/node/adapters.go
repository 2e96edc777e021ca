package node

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/wish"
	"github.com/sluice-live/sluice/sfu"
	"github.com/sluice-live/sluice/whep"
)

// ingest is whip.Media: a publisher needs the stream's lease and the media plane.
type ingest struct{ node *Node }

// Publish implements whip.Media.
func (i ingest) Publish(ctx context.Context, offer sluice.Offer) (wish.Session, error) {
	n := i.node
	from, err := n.placePublisher(ctx, offer)
	if err != nil {
		return nil, err
	}
	held, err := n.cluster.takeFrom(ctx, offer.Stream, from)
	if err != nil {
		return nil, err
	}
	session, err := n.media.Publish(ctx, offer)
	if err != nil {
		n.cluster.give(offer.Stream, held)
		return nil, err
	}
	n.cluster.hold(offer.Stream, held, session)
	if n.relays != nil {
		n.relays.tell(offer.Stream)
	}
	return session, nil
}

// egress is whep.Media.
type egress struct{ node *Node }

// Watch implements whep.Media.
func (e egress) Watch(ctx context.Context, offer sluice.Offer) (whep.Viewer, error) {
	if err := e.node.placeViewer(ctx, offer); err != nil {
		return nil, err
	}
	viewer, err := e.node.media.Watch(ctx, offer)
	if relays := e.node.relays; relays != nil && sluice.CodeOf(err) == sluice.CodeStreamOffline {
		if err := relays.need(ctx, offer.Stream); err != nil {
			return nil, err
		}
		viewer, err = e.node.media.Watch(ctx, offer)
	}
	if err != nil {
		return nil, err // a nil *sfu.Viewer would not be a nil Viewer
	}
	if e.node.relays != nil {
		e.node.relays.seek(offer.Stream)
	}
	return viewer, nil
}

// Stream implements whep.Media.
func (e egress) Stream(name string) (sluice.Stream, <-chan struct{}) {
	return e.node.media.Stream(name)
}

var (
	_ wish.Session = (*sfu.Publisher)(nil)
	_ whep.Viewer  = (*sfu.Viewer)(nil)
)

// turnLife is how long a TURN credential may open allocations.
const turnLife = time.Hour

// iceServers returns what a holder of the grant is told to use. A server with a
// secret gets a credential for this caller (draft-uberti-behave-turn-rest-00
// section 2.2, as coturn and others read it).
func (c MediaConfig) iceServers(now func() time.Time) func(sluice.Grant) []wish.ICEServer {
	if len(c.ICEServers) == 0 {
		return nil
	}
	return func(grant sluice.Grant) []wish.ICEServer {
		servers := make([]wish.ICEServer, 0, len(c.ICEServers))
		for _, s := range c.ICEServers {
			server := wish.ICEServer{URLs: s.URLs, Username: s.Username, Credential: string(s.Credential)}
			if s.Secret != "" {
				server.Username = fmt.Sprintf("%d:%s", now().Add(turnLife).Unix(), orElse(grant.Identity, "anonymous"))
				mac := hmac.New(sha1.New, []byte(s.Secret))
				mac.Write([]byte(server.Username))
				server.Credential = base64.StdEncoding.EncodeToString(mac.Sum(nil))
			}
			servers = append(servers, server)
		}
		return servers
	}
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}
