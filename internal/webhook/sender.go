package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"
)

// Config sets a Sender up. Every field must be set.
type Config struct {
	URLs    []string
	Queue   int           // messages that wait for one receiver
	Timeout time.Duration // of one attempt
	Retry   time.Duration // how long a message is tried again
}

// Deps are what a Sender needs of others.
type Deps struct {
	// Sign returns the Authorization header for a body. It is called for each attempt.
	Sign func(body []byte) (string, error)
	Log  *slog.Logger
}

// Message is what a receiver gets.
type Message struct {
	Line  string // messages of one line are delivered in order
	Body  []byte // never changed
	Minor bool   // gives way to others: it takes no more than half of a queue
}

// Counters are totals over all receivers.
type Counters struct {
	Delivered uint64
	Refused   uint64 // by the receiver, for good
	Expired   uint64 // tried for Config.Retry, or until the end of the process
	Dropped   uint64 // the queue was full
	Retries   uint64
	Queued    int64 // now
}

type counters struct {
	delivered, refused, expired, dropped, retries atomic.Uint64
	queued                                        atomic.Int64
}

// Sender delivers messages. Its methods may be called from any goroutine.
type Sender struct {
	cfg       Config
	deps      Deps
	client    *http.Client
	transport *http.Transport
	ctx       context.Context // of attempts
	cancel    context.CancelFunc
	ending    chan struct{} // closed when Close begins
	receivers []*receiver
	counters  counters
}

// CheckURL returns why messages cannot be sent to an address, or nil. The error does
// not repeat the address, which may hold a secret.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return errors.New("not an http:// or https:// URL")
	case u.User != nil:
		return errors.New("a URL with a user: the Authorization header carries the signature")
	}
	return nil
}

// New returns a Sender that has nothing to send yet. Close ends it.
func New(cfg Config, deps Deps) (*Sender, error) {
	if cfg.Queue < 1 || cfg.Timeout <= 0 || cfg.Retry <= 0 {
		return nil, errors.New("webhook: queue, timeout and retry must be more than 0")
	}
	s := &Sender{cfg: cfg, deps: deps, transport: newTransport(cfg.Timeout), ending: make(chan struct{})}
	s.client = &http.Client{Transport: s.transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	for _, text := range cfg.URLs {
		if err := CheckURL(text); err != nil {
			return nil, fmt.Errorf("webhook: %w", err)
		}
		s.receivers = append(s.receivers, newReceiver(s, text))
	}
	return s, nil
}

func newTransport(timeout time.Duration) *http.Transport {
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true,
		TLSHandshakeTimeout: timeout, ResponseHeaderTimeout: timeout,
		MaxIdleConnsPerHost: parallel, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: maxHeader,
	}
}

// Send queues a message for every receiver. It does not wait.
func (s *Sender) Send(m Message) {
	for _, r := range s.receivers {
		r.put(m)
	}
}

// Counters returns the totals as they are now.
func (s *Sender) Counters() Counters {
	c := &s.counters
	return Counters{
		Delivered: c.delivered.Load(), Refused: c.refused.Load(), Expired: c.expired.Load(),
		Dropped: c.dropped.Load(), Retries: c.retries.Load(), Queued: c.queued.Load(),
	}
}

// Close takes no more messages, tries what is queued once more without pauses, and
// gives up what is left when ctx ends.
func (s *Sender) Close(ctx context.Context) {
	close(s.ending)
	stop := context.AfterFunc(ctx, s.cancel)
	defer stop()
	for _, r := range s.receivers {
		r.close()
	}
	s.cancel()
	s.transport.CloseIdleConnections()
}
