package node

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/sluice-live/sluice/internal/obs"
	"github.com/sluice-live/sluice/internal/problem"
	"github.com/sluice-live/sluice/internal/wish"
	"github.com/sluice-live/sluice/signaling"
	"github.com/sluice-live/sluice/web"
	"github.com/sluice-live/sluice/whep"
	"github.com/sluice-live/sluice/whep/relay"
	"github.com/sluice-live/sluice/whip"
)

// listen opens the public port with all routes, and the ops port.
func (n *Node) listen() error {
	c := n.config
	limiter := n.limiter
	engine, err := newEngine(n.log, n.metrics, limiter)
	if err != nil {
		return err
	}
	shared := wish.Config{
		Limits: c.Limits.wish(), PublicURL: c.HTTP.PublicURL, ICEServers: c.Media.iceServers(time.Now),
		Passes: n.passes(), Overload: n.governor.watch,
	}
	if n.forward = n.newForwarder(); n.forward != nil {
		shared.Node = n.cluster.id
		engine.Use(n.forward.handle)
	}
	n.whip, err = whip.New(whip.Deps{Media: ingest{n}, Auth: n.keys.ring, Limiter: limiter, Log: n.log}, shared)
	if err != nil {
		return err
	}
	n.whep, err = whep.New(whep.Deps{Media: egress{n}, Auth: n.auth, Limiter: limiter, Log: n.log}, whep.Config{Config: shared, Chat: n.chatBase(), Backups: n.backups})
	if err != nil {
		return err
	}
	n.whip.Routes(engine)
	n.whep.Routes(engine)
	n.chatRoutes(engine, limiter)
	if n.relays != nil {
		n.relaying = relay.NewServer(n.relays, n.relays.tickets, limiter, n.log)
		n.relaying.Routes(engine)
	}
	if err := n.routes(engine, limiter); err != nil {
		return err
	}
	proxies, err := parseTrusted(c.HTTP.Trusted)
	if err != nil {
		return fmt.Errorf("http.trusted_proxies: %w", err)
	}
	if n.public, err = newServer(c.HTTP.Addr, proxies.handler(n.front(engine)), c.HTTP.TLS, n.log); err != nil {
		return errors.Join(errors.New("http.addr"), err)
	}
	n.cluster.registry.SetURL(n.address())
	n.public.listener = newPerIPListener(n.public.listener, c.Limits.ConnectionsPerIP, proxies.has)
	if c.Ops.Addr == "" {
		return nil
	}
	if n.ops, err = newServer(c.Ops.Addr, obs.OpsHandler(n.metrics, n.ready), TLSConfig{}, n.log); err != nil {
		return errors.Join(errors.New("ops.addr"), err)
	}
	return nil
}

// routes adds what is neither WHIP nor WHEP: pages, health, the control API.
func (n *Node) routes(engine *gin.Engine, limiter *wish.Limiter) error {
	pages := web.Handler()
	both := []string{http.MethodGet, http.MethodHead}
	for _, path := range []string{"/", "/publish/:stream", "/watch/:stream", "/embed/:stream", "/cluster", "/assets/*name"} {
		engine.Match(both, path, gin.WrapH(pages))
	}
	engine.Match(both, "/healthz", gin.WrapH(obs.HealthHandler()))
	engine.Match(both, "/readyz", gin.WrapH(obs.ReadyHandler(n.ready)))
	engine.NoRoute(func(c *gin.Context) {
		if c.Request.Method == http.MethodGet && strings.Contains(c.GetHeader("Accept"), "text/html") {
			pages.ServeHTTP(c.Writer, c.Request) // a person: the page for a wrong address
			return
		}
		problem.NotFound(c.Writer, c.Request)
	})
	version, _ := Version()
	refused := func(r *http.Request, cause error) error { return limiter.Refuse(wish.Remote(r), cause) }
	api := signaling.API{
		Streams: n.media, Auth: n.auth, Refused: refused, Version: version, Cluster: n.cluster.registry, Avoid: n.avoid,
		Documents: n.chatDocument(), Keys: n.keys, Sign: n.sign,
	}
	if n.recorder != nil {
		api.Last, api.Recordings = n.lastShow, recorded{n.recorder, strings.TrimSuffix(n.config.HTTP.PublicURL, "/")}
	}
	if n.neighbours = n.newNeighbours(); n.neighbours != nil {
		api.Neighbours = n.neighbours
	}
	return api.Routes(engine)
}
