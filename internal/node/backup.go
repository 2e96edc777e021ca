package node

import (
	"math/rand/v2"

	"github.com/sluice-live/sluice"
)

// maxBackups is how many other nodes a player is told of.
const maxBackups = 2

// maxOthers is how many nodes of the region they are chosen from. A large region
// is never read as a whole for this.
const maxOthers = 16

// other is a node that serves.
type other struct {
	url  string
	near bool // in the same region
}

// readOthers learns which other nodes serve. When Redis is away those of before
// are as good as any.
func (r *relays) readOthers() {
	nodes, err := r.registry.SomeNodesIn(r.ctx, r.region, maxOthers)
	if err == nil && len(nodes) <= maxBackups { // the region has not enough
		nodes, err = r.registry.Nodes(r.ctx)
	}
	if err != nil {
		return
	}
	var all []other
	for _, n := range nodes {
		if n.ID != r.self && n.URL != "" && n.URL == r.registry.URL() && !r.warned.Swap(true) {
			r.log.Warn("another node is reached where this one is: nodes that share http.public_url need a node.url each", "node", n.ID)
		}
		if n.ID != r.self && n.Serves() && n.Has(sluice.RoleDelivery) && n.Address() != r.address {
			all = append(all, other{url: n.Address(), near: n.Region == r.region})
		}
	}
	r.others.Store(&all)
}

// backups returns where a player can go on when this node dies: nodes of the
// region first, and others for every player, so that one node does not get all of
// them.
func (n *Node) backups() []string {
	if n.relays == nil {
		return nil
	}
	known := n.relays.others.Load()
	if known == nil {
		return nil
	}
	var near, far []string
	for _, o := range *known {
		if o.near {
			near = append(near, o.url)
		} else {
			far = append(far, o.url)
		}
	}
	for _, some := range [][]string{near, far} {
		rand.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
	}
	all := append(near, far...)
	return all[:min(len(all), maxBackups)]
}
