package client

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"
)

// relPublisherEvents is the relation of the event stream of a WHIP session.
const relPublisherEvents = "urn:sluice:whip:ext:server-sent-events"

// handover is how long a session goes on beside its successor: the server ends it
// when nobody needs it any more.
const handover = 10 * time.Second

// listen takes what the server tells the publisher, until the session ends.
func (p *Publisher) listen() {
	target := p.resource.find(relPublisherEvents)
	if target == "" {
		return
	}
	resp, err := p.resource.do(p.ctx, http.MethodGet, target, "", "text/event-stream", "")
	if err != nil {
		return
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return
	}
	readEvents(resp.Body, func(e Event) bool {
		var told struct{ URL string }
		if e.Type != "reconnect" || json.Unmarshal([]byte(e.Data), &told) != nil || told.URL == "" {
			return true
		}
		p.told <- told.URL
		return false
	})
}

// succeed publishes what p does at another endpoint and then ends p: viewers see no
// gap, as both run until the server has changed over. When it fails, p goes on.
func (p *Publisher) succeed(ctx context.Context, cfg PublisherConfig, endpoint string) (*Publisher, error) {
	cfg.URL = endpoint
	next, err := Publish(ctx, cfg)
	if err != nil {
		return nil, err
	}
	select {
	case <-next.Connected():
	case <-next.Done():
		return nil, errors.Join(errors.New("the new session has ended"), next.Err(), next.Close())
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), next.Close())
	}
	limit := time.NewTimer(handover)
	defer limit.Stop()
	select {
	case <-p.Done():
	case <-limit.C:
	case <-ctx.Done():
	}
	if err := p.Close(); err != nil {
		p.log.Debug("end of a session that has a successor", "err", err)
	}
	return next, nil
}

// Moving publishes, and goes to another server when it is told to: it begins there
// before it ends here. It is one Session over all of them.
type Moving struct {
	first  *Publisher
	cancel context.CancelFunc
	done   chan struct{} // closed when the last session has ended

	mu  sync.Mutex
	now *Publisher
}

// PublishMoving starts the first session. It must be closed.
func PublishMoving(ctx context.Context, cfg PublisherConfig) (*Moving, error) {
	cfg.moves = true // a server waits for those that listen
	p, err := Publish(ctx, cfg)
	if err != nil {
		return nil, err
	}
	run, cancel := context.WithCancel(context.Background())
	m := &Moving{first: p, now: p, cancel: cancel, done: make(chan struct{})}
	go m.follow(run, cfg)
	return m, nil
}

// follow goes where the sessions are told to.
func (m *Moving) follow(ctx context.Context, cfg PublisherConfig) {
	defer close(m.done)
	p := m.first
	for {
		select {
		case endpoint := <-p.told:
			next, err := p.succeed(ctx, cfg, endpoint)
			if err != nil {
				p.log.Debug("no successor of the session", "err", err)
				continue
			}
			p = next
			m.mu.Lock()
			m.now = p
			m.mu.Unlock()
		case <-p.Done():
			return
		case <-ctx.Done():
			return
		}
	}
}

// Now is the present session.
func (m *Moving) Now() *Publisher {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}

// Connected is that of the first session.
func (m *Moving) Connected() <-chan struct{} { return m.first.Connected() }

// Done is closed when the last session has ended. Close must still be called.
func (m *Moving) Done() <-chan struct{} { return m.done }

// Err says why the present session ended, see Publisher.
func (m *Moving) Err() error { return m.Now().Err() }

// Close ends the present session.
func (m *Moving) Close() error {
	m.cancel()
	<-m.done
	return m.Now().Close()
}
