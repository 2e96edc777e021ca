package node

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/auth"
	"github.com/sluice-live/sluice/sfu"
	"github.com/sluice-live/sluice/signaling"
	"github.com/sluice-live/sluice/whep/relay"
)

const (
	// announceInterval is how often a node says again which streams it has.
	announceInterval = signaling.EdgeTTL / 3
	// secretInterval is how often the cluster's secret is read again.
	secretInterval = 5 * time.Second
)

// relays are the streams that this node pulls from others, and those that others
// pull from it. Each pull has a goroutine, and so have the announcements of what
// this node has.
type relays struct {
	cfg      RelayConfig
	self     string
	region   string
	address  string // where clients reach this node, as far as it is configured
	media    *sfu.SFU
	registry *signaling.Registry
	lease    func(stream string) uint64 // generation of this node's lease, 0 for none
	draining *atomic.Bool
	stopping *atomic.Bool
	tickets  *auth.Tickets
	client   *relay.Client
	log      *slog.Logger

	reparented, failed atomic.Uint64

	ctx     context.Context // ends with the relays
	cancel  context.CancelFunc
	running sync.WaitGroup
	news    chan string // streams to announce

	warned atomic.Bool             // of a node with the same address
	apiKey string                  // that others may take; "": none
	alien  atomic.Bool             // others have another key
	others atomic.Pointer[[]other] // nodes that viewers can go to when this one dies

	mu       sync.Mutex
	pulls    map[string]*pull
	children map[string]map[string]int // stream to node to branches
	closed   bool
}

// openRelays starts them. It needs the cluster.
func (n *Node) openRelays() error {
	c := n.cluster
	if c.embedded != nil {
		return nil
	}
	r := &relays{
		cfg: n.config.Relay, self: c.id, region: n.config.Node.Region,
		address: sluice.Node{Public: n.config.HTTP.PublicURL}.Address(), media: n.media, registry: c.registry,
		lease: c.generation, draining: &n.draining, stopping: &n.stopping, tickets: auth.NewTickets(c.id), log: n.log,
		news: make(chan string, 64), pulls: map[string]*pull{}, children: map[string]map[string]int{},
	}
	r.apiKey = n.config.keyText()
	r.client = relay.NewClient(r.tickets)
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.readSecret()
	r.readOthers()
	r.running.Go(r.announce)
	n.relays, c.relays = r, r
	return exportRelays(n.metrics, r)
}

// readSecret learns what nodes sign their requests with, or makes it.
func (r *relays) readSecret() {
	secret := string(r.cfg.Secret)
	if secret == "" {
		mine := r.tickets.Secret()
		if mine == "" {
			mine = rand.Text() + rand.Text()
		}
		var err error
		if secret, err = r.registry.Secret(r.ctx, mine); err != nil {
			return // what was known is good enough; asked again later
		}
	}
	r.tickets.SetSecret(secret)
	if r.apiKey == "" {
		return
	}
	if theirs, err := r.registry.ShareKey(r.ctx, r.apiKey); err == nil && theirs != r.apiKey && !r.alien.Swap(true) {
		r.log.Warn("other nodes have another API key, and refuse tokens that are made here: set auth.keys, or remove "+keysFile+" from data.dir", "node", r.self)
	}
}

// announce tells the others what this node has, and keeps the secret fresh.
func (r *relays) announce() {
	again := time.NewTicker(announceInterval)
	defer again.Stop()
	secret := time.NewTicker(secretInterval)
	defer secret.Stop()
	for {
		select {
		case stream := <-r.news:
			r.announceOne(stream)
		case <-again.C:
			for _, s := range r.media.Streams() {
				r.announceOne(s.Name)
			}
			r.readOthers()
		case <-secret.C:
			r.readSecret()
		case <-r.ctx.Done():
			return
		}
	}
}

// tell announces a stream soon.
func (r *relays) tell(stream string) {
	select {
	case r.news <- stream:
	default: // the next round will
	}
}

func (r *relays) announceOne(stream string) {
	path, lease, ok := r.position(stream)
	if !ok || r.registry.Err() != nil {
		return
	}
	snapshot, _ := r.media.Stream(stream)
	err := r.registry.Announce(r.ctx, stream, signaling.Edge{
		Depth: len(path) - 1, Free: r.free(stream, len(path)), Viewers: snapshot.Viewers, Lease: lease,
	})
	if err != nil {
		r.log.Debug("announce stream", "stream", stream, "err", err)
	}
}

// withdraw takes the announcement of a stream back that this node does not get any
// more.
func (r *relays) withdraw(stream string) {
	if _, _, ok := r.position(stream); ok {
		r.tell(stream)
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), endTime)
	defer cancel()
	if err := r.registry.Withdraw(ctx, stream); err != nil {
		r.log.Debug("withdraw stream", "stream", stream, "err", err) // it expires
	}
}

// position is this node's place in a stream's tree: the nodes from the origin to
// it, and the generation of the origin's lease. ok is false when it does not get
// the stream.
func (r *relays) position(stream string) (path []string, lease uint64, ok bool) {
	snapshot, _ := r.media.Stream(stream)
	if snapshot.Publisher != nil && !snapshot.Relayed {
		return []string{r.self}, r.lease(stream), true
	}
	r.mu.Lock()
	p := r.pulls[stream]
	r.mu.Unlock()
	if p == nil {
		return nil, 0, false
	}
	l := p.link.Load()
	if l == nil {
		return nil, 0, false
	}
	news := l.news.Load()
	if len(news.Path) == 0 {
		return nil, 0, false
	}
	return append(slices.Clone(news.Path), r.self), news.Lease, true
}

// free is how many more nodes may pull a stream from here, at this distance from
// its origin.
func (r *relays) free(stream string, distance int) int {
	if distance > r.cfg.MaxHops || r.leaving(distance) {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return max(r.cfg.MaxChildren-len(r.children[stream]), 0)
}

// leaving reports whether others should pull a stream elsewhere. While the node
// drains the origin goes on, as those who leave pull from it.
func (r *relays) leaving(distance int) bool {
	return r.stopping.Load() || r.draining.Load() && distance > 1
}

// Feed implements relay.Source.
func (r *relays) Feed(ctx context.Context, p relay.Pull) (relay.Branch, error) {
	stream := p.Offer.Stream
	path, _, ok := r.position(stream)
	switch {
	case r.leaving(len(path)):
		return nil, errStopping()
	case !ok:
		return nil, &sluice.Error{Code: sluice.CodeStreamOffline, Detail: "this node does not get the stream", RetryAfter: time.Second}
	case slices.Contains(path, p.Node):
		return nil, sluice.Errorf(sluice.CodeForbidden, "this node gets the stream through yours")
	case len(path) > r.cfg.MaxHops:
		return nil, &sluice.Error{Code: sluice.CodeUnavailable, Detail: "this node is as far from the origin as relays may be", RetryAfter: time.Second}
	case !r.adopt(stream, p.Node):
		return nil, &sluice.Error{Code: sluice.CodeUnavailable, Detail: "as many nodes as may pull the stream from here", RetryAfter: time.Second}
	}
	b, err := r.media.Feed(ctx, p.Offer)
	if err != nil {
		r.release(stream, p.Node)
		return nil, err
	}
	r.tell(stream)
	r.running.Go(func() {
		<-b.Done()
		r.release(stream, p.Node)
		r.tell(stream)
	})
	return &branch{Branch: b, relays: r, stream: stream}, nil
}

// adopt takes a node among those that pull a stream from here, if there is room.
// One that is there already may pull it twice, to change from one to the other.
func (r *relays) adopt(stream, node string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	nodes := r.children[stream]
	if r.closed || nodes[node] == 0 && len(nodes) >= r.cfg.MaxChildren || nodes[node] > 1 {
		return false
	}
	if nodes == nil {
		nodes = map[string]int{}
		r.children[stream] = nodes
	}
	nodes[node]++
	return true
}

func (r *relays) release(stream, node string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	nodes := r.children[stream]
	if nodes[node]--; nodes[node] <= 0 {
		delete(nodes, node)
	}
	if len(nodes) == 0 {
		delete(r.children, stream)
	}
}

// branch is relay.Branch.
type branch struct {
	*sfu.Branch
	relays *relays
	stream string
}

// News implements relay.Branch.
func (b *branch) News() (sluice.RelayNews, <-chan struct{}) {
	snapshot, tracks, changed := b.Branch.Stream()
	path, lease, _ := b.relays.position(b.stream)
	return sluice.RelayNews{
		Stream: snapshot, Tracks: tracks, Path: path, Lease: lease, Leaving: b.relays.leaving(len(path)),
	}, changed
}

// need makes this node have a stream whose publisher is on another one: it
// returns when viewers can be let in. Errors: CodeStreamOffline when nobody has
// it, CodeUnavailable.
func (r *relays) need(ctx context.Context, stream string) error {
	p := r.start(stream, func() *pull { return newPull(r, stream, false) })
	if p == nil {
		return errStopping()
	}
	select {
	case <-p.ready:
		return p.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// seek looks for the publisher of a stream that has viewers here but no publisher,
// until it has one, or has ended.
func (r *relays) seek(stream string) {
	snapshot, _ := r.media.Stream(stream)
	if snapshot.Publisher != nil || r.media.Unused(stream) {
		return
	}
	r.start(stream, func() *pull { return newPull(r, stream, true) })
}

// succeed pulls a stream whose lease another node has taken, and puts that in the
// place of this node's own publisher.
func (r *relays) succeed(stream string) error {
	if r.media.Unused(stream) {
		return errors.New("nobody watches it here")
	}
	p := r.start(stream, func() *pull {
		p := newPull(r, stream, false)
		p.over = true
		return p
	})
	if p == nil {
		return errStopping()
	}
	select {
	case <-p.ready:
		return p.err
	case <-r.ctx.Done():
		return r.ctx.Err()
	}
}

// start returns the pull of a stream, which it starts when there is none; nil
// when no more may start.
func (r *relays) start(stream string, make func() *pull) *pull {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	p := r.pulls[stream]
	if p == nil {
		p = make()
		r.pulls[stream] = p
		r.running.Go(p.run)
	}
	return p
}

func (r *relays) forget(p *pull) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pulls[p.stream] == p {
		delete(r.pulls, p.stream)
	}
}

// leavePatience is how long a node that stops waits for others to find another
// place to pull from.
const leavePatience = 3 * time.Second

// leave waits until no other node pulls from here what it could pull elsewhere.
// The nodes hear of it with their next news.
func (r *relays) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, leavePatience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for r.feeding() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// feeding reports whether nodes pull streams that this node relays itself.
func (r *relays) feeding() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for stream := range r.children {
		if p := r.pulls[stream]; p != nil && p.link.Load() != nil {
			return true
		}
	}
	return false
}

// close ends all pulls. Branches end with the media plane, which must be closed
// before wait.
func (r *relays) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.cancel()
}

func (r *relays) wait() {
	r.running.Wait()
	r.client.Close()
}
