package node

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/auth"
	"github.com/sluice-live/sluice/signaling"
)

const (
	// streamsTime is how long all other nodes together have to tell their streams,
	// and streamsAtOnce how many of them are asked side by side.
	streamsTime   = 500 * time.Millisecond
	streamsAtOnce = 16
	// A node tells its streams in up to streamsPages answers, each with up to
	// streamsPage of them and of up to streamsBytes.
	streamsPages = 10
	streamsPage  = 1000
	streamsBytes = 4 << 20
)

// neighbours are the nodes that this one asks for their streams. It implements
// signaling.Neighbours. At most one round of questions runs at a time, in
// goroutines that stop joins; its answers are good for a while.
type neighbours struct {
	self    string
	most    int           // nodes that are asked in one round
	within  time.Duration // that a round may take
	tickets *auth.Tickets
	nodes   func(ctx context.Context) []sluice.Node
	client  *http.Client
	log     *slog.Logger

	ctx     context.Context // ends with the node
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu     sync.Mutex
	last   *round // nil before the first one
	closed bool
}

// round is one round of questions. What is below done is set when that is closed.
type round struct {
	done    chan struct{}
	held    []signaling.Held
	missing []string
	until   time.Time // when its answers are too old
}

func (r *round) over(now time.Time) bool {
	select {
	case <-r.done:
		return now.After(r.until)
	default:
		return false
	}
}

// newNeighbours makes those of a node that has company, nil for any other. They share the connections of the forwarder.
func (n *Node) newNeighbours() *neighbours {
	if n.relays == nil {
		return nil
	}
	o := &neighbours{
		self: n.cluster.id, most: n.config.Cluster.ListNodes, within: streamsTime, tickets: n.relays.tickets, log: n.log,
		nodes:  func(ctx context.Context) []sluice.Node { return n.place.list(ctx, "") },
		client: withoutRedirects(n.forward.transport),
	}
	o.ctx, o.cancel = context.WithCancel(context.Background())
	return o
}

// withoutRedirects makes a client of nodes: they answer themselves.
func withoutRedirects(transport http.RoundTripper) *http.Client {
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// stop ends a round that runs, and lets none begin. It is for nil too.
func (o *neighbours) stop() {
	if o == nil {
		return
	}
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	o.cancel()
	o.running.Wait()
}

// Streams implements signaling.Neighbours.
func (o *neighbours) Streams(ctx context.Context) ([]signaling.Held, []string) {
	if o.most == 0 {
		return nil, nil
	}
	o.mu.Lock()
	r := o.last
	if r == nil || r.over(time.Now()) {
		if o.closed {
			o.mu.Unlock()
			return nil, nil
		}
		r = &round{done: make(chan struct{})}
		o.last = r
		o.running.Go(func() { o.ask(r) })
	}
	o.mu.Unlock()
	select {
	case <-r.done:
		return r.held, r.missing
	case <-ctx.Done():
		return nil, nil
	}
}

// Peer implements signaling.Neighbours.
func (o *neighbours) Peer(r *http.Request) (bool, error) {
	ticket := r.Header.Get(forwardTicket)
	if ticket == "" {
		return false, nil
	}
	if _, _, err := o.tickets.Check(ticket, aboutStreams(r.URL.RawQuery), nil); err != nil {
		return false, err
	}
	return true, nil
}

// aboutStreams is what a ticket says of a request for streams.
func aboutStreams(query string) string { return "GET " + signaling.StreamsPath + "?" + query }

// ask does a round.
func (o *neighbours) ask(r *round) {
	defer close(r.done)
	ctx, cancel := context.WithTimeout(o.ctx, o.within)
	defer cancel()
	nodes := o.nodes(ctx)
	// Each node is asked by every other one, so the more there are, the less often.
	age := listAge + time.Duration(len(nodes))*listAgeEach
	nodes = slices.DeleteFunc(slices.Clone(nodes), func(n sluice.Node) bool {
		return n.ID == o.self || n.Load.Streams == 0 || n.URL == ""
	})
	slices.SortStableFunc(nodes, func(a, b sluice.Node) int { return cmp.Compare(b.Load.Streams, a.Load.Streams) })
	asked := nodes[:min(len(nodes), o.most)]
	r.held = make([]signaling.Held, len(asked))
	failed := make([]error, len(asked))
	free := make(chan struct{}, streamsAtOnce)
	var all sync.WaitGroup
	for i, n := range asked {
		free <- struct{}{} // each ends with ctx
		all.Go(func() {
			r.held[i].Node = n.ID
			r.held[i].Streams, failed[i] = o.streamsOf(ctx, n)
			<-free
		})
	}
	all.Wait()
	for i, n := range nodes {
		if i >= len(asked) {
			r.missing = append(r.missing, n.ID)
		} else if failed[i] != nil {
			o.log.Debug("streams of another node", "node", n.ID, "err", failed[i])
			r.missing = append(r.missing, n.ID)
		}
	}
	slices.Sort(r.missing)
	r.until = time.Now().Add(age)
}

// streamsOf asks a node for all its streams. With an error come those that it has
// told.
func (o *neighbours) streamsOf(ctx context.Context, at sluice.Node) (streams []sluice.Stream, err error) {
	root, err := url.Parse(strings.TrimSuffix(at.URL, "/") + "/")
	if err != nil {
		return nil, fmt.Errorf("its address: %w", err)
	}
	for cursor, page := "", 0; page < streamsPages; page++ {
		more, next, err := o.page(ctx, at.ID, root, cursor)
		if err != nil {
			return streams, err
		}
		streams = append(streams, more...)
		if cursor = next; cursor == "" {
			return streams, nil
		}
	}
	return streams, errors.New("it has more streams than are asked for")
}

// page asks a node for its streams after a cursor.
func (o *neighbours) page(ctx context.Context, node string, root *url.URL, cursor string) (streams []sluice.Stream, next string, err error) {
	at := root.JoinPath(signaling.StreamsPath)
	at.RawQuery = url.Values{"local": {"true"}, "limit": {strconv.Itoa(streamsPage)}, "cursor": {cursor}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), http.NoBody)
	if err != nil {
		return nil, "", err
	}
	ticket, _, err := o.tickets.Sign(node, aboutStreams(at.RawQuery), nil)
	if err != nil {
		return nil, "", err
	}
	req.Header.Set(forwardTicket, ticket)
	resp, err := o.client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, "", fmt.Errorf("it answers %s", resp.Status)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, streamsBytes+1))
	if err != nil {
		return nil, "", err
	}
	if len(data) > streamsBytes {
		return nil, "", fmt.Errorf("its answer has more than %d bytes", streamsBytes)
	}
	return readStreams(data)
}

// readStreams reads another node's answer.
func readStreams(data []byte) (streams []sluice.Stream, next string, err error) {
	var told struct {
		Items []sluice.Stream
		Next  string `json:"nextCursor"`
	}
	if err := json.Unmarshal(data, &told); err != nil {
		return nil, "", fmt.Errorf("its answer: %w", err)
	}
	if len(told.Items) > streamsPage {
		return nil, "", fmt.Errorf("its answer has %d streams", len(told.Items))
	}
	for _, s := range told.Items {
		if err := sluice.CheckStreamName(s.Name); err != nil {
			return nil, "", fmt.Errorf("its answer: %w", err)
		}
	}
	return told.Items, told.Next, nil
}
