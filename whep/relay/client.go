package relay

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	sluice "github.com/sluice-live/sluice"
)

const (
	dialTimeout = time.Second
	// askTimeout is how long an answer may take: the other node waits for its
	// publisher's tracks.
	askTimeout = 5 * time.Second
	// callTimeout is the same for the small requests.
	callTimeout = 2 * time.Second
	// maxNews is the longest line of news in bytes.
	maxNews = 256 << 10
)

// Client pulls streams from other nodes.
type Client struct {
	http    *http.Client
	tickets Tickets
}

// NewClient makes a Client. Close it in the end.
func NewClient(tickets Tickets) *Client {
	return &Client{tickets: tickets, http: &http.Client{
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: dialTimeout}).DialContext,
			TLSHandshakeTimeout: dialTimeout,
			MaxIdleConnsPerHost: 4, IdleConnTimeout: 30 * time.Second,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Link is a pull that another node has answered.
type Link struct {
	client *Client
	node   string
	url    *url.URL
}

// Ask asks the node at a URL for a stream. An error with a Code is the node's
// answer; any other says that it could not be reached, or is not what it says.
func (c *Client) Ask(ctx context.Context, node, base, stream, offer, region string) (*Link, Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	root, err := url.Parse(strings.TrimSuffix(base, "/") + "/")
	if err != nil {
		return nil, Answer{}, fmt.Errorf("address of node %s: %w", node, err)
	}
	l := &Link{client: c, node: node, url: root.JoinPath(Base, stream)}
	resp, asked, err := l.do(ctx, http.MethodPost, ask{SDP: offer, Region: region})
	if err != nil {
		return nil, Answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return nil, Answer{}, fmt.Errorf("answer of node %s: %w", node, err)
	}
	if resp.StatusCode != http.StatusCreated {
		return nil, Answer{}, refused(resp, body)
	}
	from, _, err := c.tickets.Check(resp.Header.Get(ticketHeader), asked, body)
	if err == nil && from != node {
		err = fmt.Errorf("it is from %q", from)
	}
	var a Answer
	if err == nil {
		err = json.Unmarshal(body, &a)
	}
	if err == nil {
		l.url, err = root.Parse(resp.Header.Get("Location"))
	}
	if err != nil {
		return nil, Answer{}, fmt.Errorf("answer of node %s: %w", node, err)
	}
	return l, a, nil
}

// Follow hands over the news until the link breaks or the other node ends it; the
// error says which.
func (l *Link) Follow(ctx context.Context, take func(sluice.RelayNews)) error {
	resp, _, err := l.do(ctx, http.MethodGet, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, maxBody))
		return refused(resp, body)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxNews)
	for lines.Scan() {
		data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
		if !ok {
			continue
		}
		var news sluice.RelayNews
		if err := json.Unmarshal(data, &news); err != nil {
			return fmt.Errorf("news of node %s: %w", l.node, err)
		}
		take(news)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("news of node %s: %w", l.node, err)
	}
	return errors.New("the other node has ended its news")
}

// SetViewers tells the other node how many viewers are behind this one.
func (l *Link) SetViewers(ctx context.Context, n int) error {
	return l.call(ctx, http.MethodPost, count{Viewers: n})
}

// End tells the other node that the stream is no longer needed.
func (l *Link) End(ctx context.Context) error { return l.call(ctx, http.MethodDelete, nil) }

func (l *Link) call(ctx context.Context, method string, message any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	resp, _, err := l.do(ctx, method, message)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil || resp.StatusCode/100 == 2 {
		return err
	}
	return refused(resp, body)
}

// do sends a request with a ticket, and returns the ticket's id.
func (l *Link) do(ctx context.Context, method string, message any) (resp *http.Response, ticket string, err error) {
	var body []byte
	if message != nil {
		if body, err = json.Marshal(message); err != nil {
			return nil, "", err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, l.url.String(), bytes.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	bearer, ticket, err := l.client.tickets.Sign(l.node, about(method, l.url.Path), body)
	if err != nil {
		return nil, "", err
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	req.Header.Set("Content-Type", "application/json")
	if method == http.MethodGet {
		req.Header.Set("Accept", "text/event-stream")
	}
	resp, err = l.client.http.Do(req)
	if err != nil {
		return nil, "", fmt.Errorf("ask node %s: %w", l.node, err)
	}
	return resp, ticket, nil
}

// refused reads a problem.
func refused(resp *http.Response, body []byte) error {
	var p struct{ Type, Detail string }
	_ = json.Unmarshal(body, &p) // what is no problem has no type
	code := sluice.Code(p.Type[strings.LastIndexAny(p.Type, ":/#")+1:])
	if code == "" {
		code = sluice.CodeUnavailable
	}
	seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
	return &sluice.Error{Code: code, Detail: p.Detail, RetryAfter: time.Duration(seconds) * time.Second, Err: fmt.Errorf("status %d", resp.StatusCode)}
}
