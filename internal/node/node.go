package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/chat"
	"github.com/sluice-live/sluice/hlsfallback"
	"github.com/sluice-live/sluice/internal/auth"
	"github.com/sluice-live/sluice/internal/blob"
	"github.com/sluice-live/sluice/internal/catalog"
	"github.com/sluice-live/sluice/internal/obs"
	"github.com/sluice-live/sluice/internal/wish"
	"github.com/sluice-live/sluice/recorder"
	"github.com/sluice-live/sluice/sfu"
	"github.com/sluice-live/sluice/whep"
	"github.com/sluice-live/sluice/whep/relay"
	"github.com/sluice-live/sluice/whip"
)

// Node is one server: its sockets are open from New on, and it serves in Run.
type Node struct {
	config     Config
	log        *slog.Logger
	metrics    *obs.Registry
	auth       *auth.Authorizer
	sign       func(sluice.Grant, time.Duration) (string, error) // makes tokens
	limiter    *wish.Limiter                                     // of everything that callers ask for
	media      *sfu.SFU
	files      *blob.Disk           // nil when nothing is recorded
	shared     blob.Shared          // nil when recordings stay here
	recorder   *recorder.Recorder   // nil when off
	hls        *hlsfallback.Handler // nil when nothing is recorded
	shelf      *shelf               // what hls reads
	cluster    *cluster
	catalog    *catalog.Catalog
	keys       *streamKeys
	chat       *chat.Hub // nil when off
	webhooks   *webhooks // nil when off
	relays     *relays   // nil on a node alone
	relaying   *relay.Server
	forward    *forwarder  // nil on a node alone
	neighbours *neighbours // nil on a node alone
	whip       *whip.Handler
	whep       *whep.Handler
	public     *server
	ops        *server // nil when off
	governor   *governor
	place      *placer // nil on a node alone
	drain      drainer
	draining   atomic.Bool // takes no new sessions
	stopping   atomic.Bool // and is about to end
	built      atomic.Bool // everything is there
	closing    sync.Once
	closed     error // of Close, set by closing
}

// New opens every socket and assembles a node. Run closes it; a node that is
// not run is closed with Close.
func New(c Config, log *slog.Logger) (_ *Node, err error) {
	n := &Node{config: c, log: log}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Close())
		}
	}()
	for _, build := range []func() error{n.observe, n.authorize, n.openCatalog, n.openMedia, n.newGovernor, n.openCluster, n.openWebhooks, n.openRelays, n.record, n.openChat, n.listen} {
		if err := build(); err != nil {
			return nil, err
		}
	}
	n.governor.start()
	if n.webhooks != nil {
		n.webhooks.start()
	}
	n.built.Store(true)
	return n, nil
}

func (n *Node) observe() error {
	version, revision := Version()
	n.metrics = obs.NewRegistry(version, revision)
	return n.metrics.GaugeFunc("sluice_node_draining", "1 while the node takes no new sessions because it stops.", nil, func() float64 {
		if n.draining.Load() {
			return 1
		}
		return 0
	})
}

func (n *Node) authorize() error {
	if err := os.MkdirAll(n.config.Data.Dir, 0o700); err != nil {
		return fmt.Errorf("data.dir: %w", err)
	}
	keys, err := APIKeys(n.config)
	if err != nil {
		return err
	}
	plain := map[string]string{}
	for key, secret := range keys {
		plain[key] = string(secret)
	}
	n.sign = signer(plain)
	n.limiter = wish.NewLimiter(wish.Rates{
		Requests: float64(n.config.Limits.RequestsPerSecond), AuthFailures: n.config.Limits.AuthFailures,
	})
	n.auth, err = auth.New(auth.Config{Mode: n.config.Auth.Mode, Keys: plain})
	return err
}

func (n *Node) openMedia() error {
	c := n.config
	join, err := histogram(n.metrics, "sluice_join_seconds", "Time from a viewer's offer to its first video packet.",
		.01, .025, .05, .1, .2, .3, .5, 1, 2, 5, 10)
	if err != nil {
		return err
	}
	delay, err := histogram(n.metrics, "sluice_forward_delay_seconds", "Time from a packet's arrival to its sending, sampled.",
		.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1)
	if err != nil {
		return err
	}
	var ips []netip.Addr
	for _, text := range c.Media.PublicIPs {
		ip, err := netip.ParseAddr(text)
		if err != nil {
			return fmt.Errorf("media.public_ips: %w", err)
		}
		ips = append(ips, ip)
	}
	n.media, err = sfu.New(sfu.Config{
		MediaAddr: c.Media.Addr, TCP: c.Media.TCP, PublicIPs: ips, ICELite: c.Media.ICELite,
		Loopback:         isLoopback(c.HTTP.Addr) || isLoopback(c.Media.Addr),
		HandshakeTimeout: c.Limits.HandshakeTimeout,
		MaxPending:       c.Limits.PendingSessions, MaxPendingPerIP: c.Limits.PendingPerIP,
		MaxViewers: c.Stream.MaxViewers, MaxAddresses: c.Limits.Addresses,
		FlexFEC: c.Media.FlexFEC, PlayoutDelayMin: c.Media.PlayoutDelayMin, PlayoutDelayMax: c.Media.PlayoutDelayMax,
		Grace: c.Stream.Grace, Wait: c.Stream.Wait, Takeover: c.Stream.Takeover,
	}, sfu.Deps{Log: n.log, JoinTime: join, ForwardDelay: delay, Chat: n.talk, Tell: n.teller()})
	if err != nil {
		return err
	}
	if c.Metrics.PerStream {
		if err := exportStreams(n.metrics, n.media); err != nil {
			return err
		}
	}
	return exportMedia(n.metrics, n.media)
}

// URL is where a client on this machine reaches the pages and the API.
func (n *Node) URL() string { return n.public.url() }

// OpsURL is where metrics and profiles are, "" when they are off.
func (n *Node) OpsURL() string {
	if n.ops == nil {
		return ""
	}
	return n.ops.url()
}

// ready says why the node takes no new sessions, or nil.
func (n *Node) ready() error {
	if n.draining.Load() {
		return errors.New("the node drains or stops")
	}
	return nil
}

// limits are what whip and whep check before the media plane sees an offer.
func (l LimitsConfig) wish() wish.Limits {
	return wish.Limits{
		BodyBytes: l.SDPBytes, LineBytes: l.SDPLineBytes, Sections: l.MediaSections,
		Attributes: l.SDPAttributes, RIDs: l.RIDs, SSRCs: l.SSRCs, Candidates: l.Candidates,
	}
}

// Run serves until ctx ends or a listener fails, and then closes the node in
// order within shutdown.timeout.
func (n *Node) Run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	servers := slices.DeleteFunc([]*server{n.public, n.ops}, func(s *server) bool { return s == nil })
	served := make(chan error, len(servers))
	for _, s := range servers {
		go func() {
			err := s.serve()
			if err != nil {
				stop(err)
			}
			served <- err
		}()
	}
	n.log.Info("node serves", "node", n.cluster.id, "url", n.URL(), "media", n.media.MediaPort(), "ops", n.OpsURL(), "auth", n.config.Auth.Mode)
	<-ctx.Done()
	if len(served) == 0 { // no listener has failed
		n.handOver()
	}
	errs := []error{n.Close()}
	for range servers {
		errs = append(errs, <-served)
	}
	n.log.Info("node has stopped", "node", n.cluster.id)
	return errors.Join(errs...)
}

// errStopping refuses new sessions while the node stops.
func errStopping() error {
	return &sluice.Error{Code: sluice.CodeUnavailable, Detail: "the node is stopping", RetryAfter: time.Second}
}
