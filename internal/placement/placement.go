package placement

import (
	"math"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/sluice-live/sluice"
)

const (
	// full is the share of a node from which on it takes nobody for whom there is
	// another node.
	full = .9
	// leastFree is the weight of a node that is full.
	leastFree = .02
)

// Home is the node for a key, such as a stream's name, by weighted rendezvous
// hashing (highest random weight, Thaler and Ravishankar; the weighting is
// Schindelhauer and Schomaker's): everybody who sees the same nodes finds the same
// one, a node that comes or goes moves only what it gets or had, and a node gets
// as much as it has processors free. Nodes of the region go first; others are
// taken only when none of it can be. ok is false when there is no node at all.
func Home(key, region string, nodes []sluice.Node) (home sluice.Node, ok bool) {
	near, best := false, math.Inf(-1)
	for _, n := range nodes {
		if !n.Serves() {
			continue
		}
		local := n.Region == region && n.Used() < 1
		if near && !local {
			continue
		}
		score := score(key, n)
		if local && !near || score > best || score == best && n.ID < home.ID {
			near, best, home, ok = local, score, n, true
		}
	}
	return home, ok
}

// score is -weight/ln(hash), with the hash in (0, 1).
func score(key string, n sluice.Node) float64 {
	h := xxh3.HashString(n.ID + "\x00" + key)
	uniform := (float64(h>>11) + .5) / (1 << 53)
	// In steps of an eighth, so that a stream does not move with every viewer.
	free := math.Ceil(8*(1-n.Used())) / 8
	return -float64(max(n.CPUs, 1)) * max(free, leastFree) / math.Log(uniform)
}

// Visit is somebody who wants to watch.
type Visit struct {
	Stream string
	Viewer string // tells viewers apart, such as an address
	Region string // of the node that was asked
	Here   sluice.Node
	// Placed: another node has sent the viewer here. It is not sent on.
	Placed bool
	// HLS: the stream can be had as LL-HLS here.
	HLS bool
	// Others are the other nodes that could be sent to.
	Others []sluice.Node
	// Has reports whether a node has the stream already. nil: not known.
	Has func(node string) bool
	// Away reports whether the viewer cannot reach a node. nil: no.
	Away func(node string) bool
}

// Answer is what a viewer is told.
type Answer int

const (
	Accept   Answer = iota // here, pulling the stream from another node if need be
	Redirect               // to another node
	UseHLS                 // as LL-HLS
	Refuse                 // later
)

// Watch places a viewer. The node is that of Redirect.
func Watch(v Visit) (Answer, sluice.Node) {
	here := v.Here
	welcome := here.State == sluice.NodeServing && here.Has(sluice.RoleDelivery) && here.Step < sluice.StepHLS
	if welcome && (here.Used() < full || v.Placed) {
		return Accept, here
	}
	if !v.Placed {
		if other, ok := elsewhere(v); ok {
			return Redirect, other
		}
	}
	switch {
	case welcome && here.Used() < 1: // nobody has more room
		return Accept, here
	case here.State == sluice.NodeServing && here.Step < sluice.StepRefuse && v.HLS:
		return UseHLS, here
	default:
		return Refuse, here
	}
}

// elsewhere is another node with room: one of the region before others, among
// them one that has the stream before others.
func elsewhere(v Visit) (sluice.Node, bool) {
	var classes [4][]sluice.Node
	for _, n := range v.Others {
		if !n.Serves() || !n.Has(sluice.RoleDelivery) || n.ID == v.Here.ID || v.Here.Address() != "" && n.Address() == v.Here.Address() || n.Step >= sluice.StepHLS || n.Used() >= full || v.Away != nil && v.Away(n.ID) {
			continue
		}
		class := 0
		if n.Region != v.Region {
			class += 2
		}
		if v.Has == nil || !v.Has(n.ID) {
			class++
		}
		classes[class] = append(classes[class], n)
	}
	for _, class := range classes {
		if n, ok := Home(v.Stream+"\x00"+v.Viewer, v.Region, class); ok {
			return n, true
		}
	}
	return sluice.Node{}, false
}

// Renewed reports whether a node has been restarted in the rolling restart that began
// then, or runs another version and has started after the node that leaves: it will
// not be restarted again soon, so whoever is sent there can stay. Started is by the
// caller's clock here.
func Renewed(n, leaving sluice.Node, began time.Time) bool {
	return n.Started.After(began) || n.Version != leaving.Version && n.Started.After(leaving.Started)
}
