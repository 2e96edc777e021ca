package node

import (
	"context"
	"crypto/rand"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/overload"
	"github.com/sluice-live/sluice/internal/placement"
	"github.com/sluice-live/sluice/sfu"
	"github.com/sluice-live/sluice/signaling"
)

const (
	// A list of nodes is believed for listAge, and as much longer as it is long:
	// reading it costs.
	listAge     = time.Second
	listAgeEach = 10 * time.Millisecond
	// smallCluster is up to how many nodes all of them are looked at, and not only
	// those of the region.
	smallCluster = 200
	// awayTime is how long somebody is not sent to a node that could not be
	// reached from there, and maxAway how many such reports are remembered.
	awayTime = time.Minute
	maxAway  = 4096
)

// placer knows the other nodes well enough to send somebody there.
type placer struct {
	self, region string
	registry     *signaling.Registry

	mu    sync.Mutex
	lists map[string]nodeList // by region; "" for all
	away  map[awayKey]time.Time
}

type nodeList struct {
	nodes []sluice.Node
	read  time.Time
}

// awayKey is a node that could not be reached from a network.
type awayKey struct {
	from netip.Prefix
	node string
}

func newPlacer(self, region string, registry *signaling.Registry) *placer {
	return &placer{self: self, region: region, registry: registry, lists: map[string]nodeList{}, away: map[awayKey]time.Time{}}
}

// newGovernor makes what measures the node. It is started when there is a cluster.
func (n *Node) newGovernor() error {
	n.governor = &governor{
		capacity: n.config.Node.Capacity, config: overload.Default(), counters: n.media.Counters,
		platform: n.platformShare, apply: n.takeStep, log: n.log, stepped: make(chan struct{}),
	}
	return n.exportNode()
}

// platformShare is how much of the platform's cap all nodes use.
func (n *Node) platformShare() float64 {
	if n.config.Cluster.Mbps == 0 || n.place == nil {
		return 0
	}
	sum := 0.0
	for _, c := range n.place.registry.Census() {
		sum += c.Load.Mbps
	}
	return sum / float64(n.config.Cluster.Mbps)
}

// takeStep does what a step of overload asks.
func (n *Node) takeStep(_, now sluice.Step) {
	limit := sfu.CapNone
	switch {
	case now >= sluice.StepCapAll:
		limit = sfu.CapAll
	case now >= sluice.StepCapLow:
		limit = sfu.CapLow
	}
	n.media.SetCap(limit)
	if n.recorder != nil {
		n.recorder.Spare(now >= sluice.StepRungs)
	}
	if n.place != nil {
		n.place.registry.Beat()
	}
}

func cpus() int { return runtime.GOMAXPROCS(0) }

// mediaAddress is where clients reach the media port, as it is configured.
func (n *Node) mediaAddress() string {
	port := strconv.Itoa(n.media.MediaPort())
	if ips := n.config.Media.PublicIPs; len(ips) > 0 {
		return net.JoinHostPort(ips[0], port)
	}
	host, _, err := net.SplitHostPort(n.config.Media.Addr)
	if err != nil {
		host = ""
	}
	return net.JoinHostPort(host, port)
}

// list returns the nodes of a region, "" for all, as they were lately. Without
// Redis it is what was known before. Started is by the clock of this node.
func (p *placer) list(ctx context.Context, region string) []sluice.Node {
	p.mu.Lock()
	known := p.lists[region]
	p.mu.Unlock()
	if time.Since(known.read) < listAge+time.Duration(len(known.nodes))*listAgeEach {
		return known.nodes
	}
	var nodes []sluice.Node
	var err error
	if region == "" {
		nodes, err = p.registry.Nodes(ctx)
	} else {
		nodes, err = p.registry.NodesIn(ctx, region)
	}
	if err != nil {
		return known.nodes
	}
	now := time.Now()
	for i := range nodes {
		nodes[i].Started = now.Add(-time.Duration((nodes[i].Uptime + nodes[i].Age) * float64(time.Second)))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lists[region] = nodeList{nodes: nodes, read: now}
	return nodes
}

// near returns the nodes of this region, and all while they are few.
func (p *placer) near(ctx context.Context) []sluice.Node {
	total := 0
	for _, c := range p.registry.Census() {
		total += c.Nodes
	}
	if total <= smallCluster {
		return p.list(ctx, "")
	}
	return p.list(ctx, p.region)
}

// company reports whether another node serves.
func (p *placer) company() bool {
	_, ok := p.other(rand.Text(), nil)
	return ok
}

// other is a node for somebody who has to leave this one: among those that fit,
// nil for all.
func (p *placer) other(stream string, fits func(sluice.Node) bool) (sluice.Node, bool) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, nodes := range [][]sluice.Node{p.near(ctx), p.list(ctx, "")} {
		if fits != nil {
			nodes = slices.DeleteFunc(slices.Clone(nodes), func(o sluice.Node) bool { return !fits(o) })
		}
		answer, to := placement.Watch(placement.Visit{
			Stream: stream, Viewer: rand.Text(), Region: p.region, Others: nodes, Has: p.has(ctx, stream),
			Here: sluice.Node{ID: p.self, State: sluice.NodeDraining},
		})
		if answer == placement.Redirect {
			return to, true
		}
	}
	return sluice.Node{}, false
}

// has tells which nodes have a stream, of those that are asked for.
func (p *placer) has(ctx context.Context, stream string) func(string) bool {
	var edges map[string]bool
	return func(id string) bool {
		if edges == nil {
			edges = map[string]bool{}
			all, err := p.registry.Edges(ctx, stream, edgeSample)
			if err != nil {
				return false
			}
			for _, e := range all {
				edges[e.Node] = true
			}
		}
		return edges[id]
	}
}

// network is what tells where somebody is: addresses of one site share it.
func network(a netip.Addr) netip.Prefix {
	a = a.Unmap()
	bits := 24
	if a.Is6() {
		bits = 48
	}
	prefix, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}

// avoid notes that a node cannot be reached from an address.
func (p *placer) avoid(from netip.Addr, node string) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.away) >= maxAway {
		for key, until := range p.away {
			if now.After(until) {
				delete(p.away, key)
			}
		}
	}
	if len(p.away) < maxAway {
		p.away[awayKey{network(from), node}] = now.Add(awayTime)
	}
}

// avoids tells which nodes cannot be reached from an address.
func (p *placer) avoids(from netip.Addr) func(string) bool {
	prefix := network(from)
	return func(id string) bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return time.Now().Before(p.away[awayKey{prefix, id}])
	}
}

// avoid notes that a viewer cannot reach a node, and finds another one.
func (n *Node) avoid(ctx context.Context, from netip.Addr, node sluice.Node, stream string) string {
	if n.place == nil {
		return ""
	}
	n.place.avoid(from, node.ID)
	v := placement.Visit{
		Stream: stream, Viewer: from.String(), Region: n.config.Node.Region, Others: n.place.near(ctx),
		Has: n.place.has(ctx, stream), Away: n.place.avoids(from), Here: sluice.Node{State: sluice.NodeDraining},
	}
	if answer, to := placement.Watch(v); answer == placement.Redirect {
		return to.Address() + "/whep/" + stream
	}
	return ""
}

// elsewhereError sends the caller to another node.
func elsewhereError(to sluice.Node) error {
	return &sluice.Error{
		Code: sluice.CodeElsewhere, Detail: "node " + to.ID + " takes this",
		Elsewhere: &sluice.Elsewhere{Node: to.ID, URL: to.Address()},
	}
}

// refuseBusy refuses what a node that goes to its limits takes no more.
func refuseBusy() error {
	return &sluice.Error{Code: sluice.CodeUnavailable, Detail: "the node carries as much as it can", RetryAfter: 10 * time.Second}
}

// here is this node's record as of now.
func (n *Node) here() sluice.Node {
	var me sluice.Node
	n.describe(&me)
	me.ID, me.Region = n.cluster.id, n.config.Node.Region
	me.Load.Viewers = int(n.media.Counters().ViewersNow)
	me.Load.CPU = me.Load.CPU * 100 / float64(n.config.Node.Capacity.CPU)
	return me
}

// placePublisher says whether this node takes a publisher: nil for yes, and the
// node that it takes the stream from, if any.
func (n *Node) placePublisher(ctx context.Context, offer sluice.Offer) (from string, err error) {
	me := n.here()
	free := me.State == sluice.NodeServing && me.Step < sluice.StepRefuse && me.Has(sluice.RoleIngest)
	if n.place == nil || offer.Placed {
		return n.placeHere(ctx, me, free, offer.Stream)
	}
	if owner, err := n.cluster.registry.Lookup(ctx, offer.Stream); err == nil && owner.Node != me.ID {
		holder, err := n.cluster.registry.FindNode(ctx, owner.Node)
		switch {
		case err != nil: // it is dead, or Redis is: the lease decides
		case holder.State == sluice.NodeDraining:
			from = holder.ID
		case holder.URL != "" && holder.Address() != me.Address():
			return "", elsewhereError(holder)
		}
	} else if err == nil && free {
		return "", nil
	}
	if n.config.Cluster.Ingest == IngestLocal && free {
		return from, nil
	}
	takers := slices.DeleteFunc(slices.Clone(n.place.near(ctx)), func(o sluice.Node) bool { return !o.Has(sluice.RoleIngest) })
	if home, ok := placement.Home(offer.Stream, me.Region, takers); ok && home.ID != me.ID && home.Address() != me.Address() {
		return "", elsewhereError(home)
	}
	return n.placeHere(ctx, me, free, offer.Stream)
}

// placeHere refuses a publisher, or finds the node that gives its stream up.
func (n *Node) placeHere(ctx context.Context, me sluice.Node, free bool, stream string) (from string, err error) {
	switch {
	case me.State != sluice.NodeServing:
		return "", errStopping()
	case !me.Has(sluice.RoleIngest):
		return "", &sluice.Error{Code: sluice.CodeUnavailable, Detail: "this node takes no publishers (node.roles)", RetryAfter: 10 * time.Second}
	case !free:
		return "", refuseBusy()
	case n.place == nil:
		return "", nil
	}
	owner, err := n.cluster.registry.Lookup(ctx, stream)
	if err != nil || owner.Node == me.ID {
		return "", nil
	}
	if holder, err := n.cluster.registry.FindNode(ctx, owner.Node); err == nil && holder.State == sluice.NodeDraining {
		return holder.ID, nil
	}
	return "", nil
}

// placeViewer says whether this node takes a viewer. One that is about to end sends
// nobody on: its players are to come back to it.
func (n *Node) placeViewer(ctx context.Context, offer sluice.Offer) error {
	if n.stopping.Load() {
		return errStopping()
	}
	v := placement.Visit{
		Stream: offer.Stream, Viewer: offer.Remote.String() + offer.Grant.Identity,
		Region: n.config.Node.Region, Here: n.here(), Placed: offer.Placed,
	}
	if v.Here.State == sluice.NodeServing && v.Here.Step < sluice.StepHLS && v.Here.Used() < nearlyFull {
		return nil // as nearly always, without a look at others
	}
	hls := n.playlist(ctx, offer.Stream)
	v.HLS = hls != ""
	answer, to := placement.Watch(v)
	if n.place != nil {
		v.Has, v.Away = n.place.has(ctx, offer.Stream), n.place.avoids(offer.Remote)
		v.Others = n.place.near(ctx)
		if answer, to = placement.Watch(v); answer != placement.Redirect {
			v.Others = n.place.list(ctx, "")
			answer, to = placement.Watch(v)
		}
	}
	switch {
	case answer == placement.Accept:
		return nil
	case answer == placement.Redirect:
		return elsewhereError(to)
	case answer == placement.UseHLS:
		return &sluice.Error{
			Code: sluice.CodeFallback, Detail: "the node carries as many viewers as it can; the stream is there as LL-HLS",
			RetryAfter: 30 * time.Second, Elsewhere: &sluice.Elsewhere{URL: hls},
		}
	case n.draining.Load():
		return errStopping()
	}
	return refuseBusy()
}

// playlist is where a stream is there as LL-HLS, "" for nowhere: the node of its
// publisher records it.
func (n *Node) playlist(ctx context.Context, stream string) string {
	path := "/hls/" + stream + "/index.m3u8"
	snapshot, _ := n.media.Stream(stream)
	if snapshot.Publisher != nil && !snapshot.Relayed {
		if n.hls == nil {
			return ""
		}
		return n.config.HTTP.PublicURL + path
	}
	if n.place == nil {
		return ""
	}
	owner, err := n.cluster.registry.Lookup(ctx, stream)
	if err != nil {
		return ""
	}
	home, err := n.cluster.registry.FindNode(ctx, owner.Node)
	if err != nil || !home.Has(sluice.RoleRecording) {
		return ""
	}
	return home.Address() + path
}

// nearlyFull is from where on a node looks whether another has more room.
const nearlyFull = .9
