package wishtest

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Client sends requests to a server under test. Its methods fail the test when
// there is no response.
type Client struct {
	T      testing.TB
	URL    string // of the server, without a path
	Bearer string // sent when it is not ""
}

// Response is a response with its body read.
type Response struct {
	Status int
	Header http.Header
	Body   string
}

// As returns a client with another bearer.
func (c Client) As(bearer string) Client {
	c.Bearer = bearer
	return c
}

// Do sends a request. Headers are names and values in turn.
func (c Client) Do(method, path, body string, headers ...string) Response {
	c.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	resp := c.Open(ctx, method, path, body, headers...)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		c.T.Fatalf("%s %s: read body: %v", method, path, err)
	}
	return Response{Status: resp.StatusCode, Header: resp.Header, Body: string(data)}
}

// Open sends a request and leaves the body to be read and closed. Redirects
// are not followed.
func (c Client) Open(ctx context.Context, method, path, body string, headers ...string) *http.Response {
	c.T.Helper()
	req, err := http.NewRequestWithContext(ctx, method, c.URL+path, strings.NewReader(body))
	if err != nil {
		c.T.Fatal(err)
	}
	if c.Bearer != "" {
		req.Header.Set("Authorization", "Bearer "+c.Bearer)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		c.T.Fatalf("%s %s: %v", method, path, err)
	}
	return resp
}

// Post sends an offer.
func (c Client) Post(path, offer string) Response {
	c.T.Helper()
	return c.Do(http.MethodPost, path, offer, "Content-Type", "application/sdp")
}

// Patch sends a fragment. An empty etag sends no If-Match.
func (c Client) Patch(path, fragment, etag string) Response {
	c.T.Helper()
	headers := []string{"Content-Type", "application/trickle-ice-sdpfrag"}
	if etag != "" {
		headers = append(headers, "If-Match", etag)
	}
	return c.Do(http.MethodPatch, path, fragment, headers...)
}

// Want fails the test unless the response has the status.
func (r Response) Want(t testing.TB, status int) Response {
	t.Helper()
	if r.Status != status {
		t.Fatalf("status %d, want %d; body %q", r.Status, status, r.Body)
	}
	return r
}
