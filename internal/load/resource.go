package load

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	maxAnswer     = 256 << 10 // bytes
	postTimeout   = 15 * time.Second
	deleteTimeout = 5 * time.Second
)

// resource is a WHIP or WHEP session as HTTP sees it.
type resource struct {
	http   *http.Client
	bearer string
	url    string
	answer string
	posted int64 // when the request was sent, of the wall clock
}

// statusError is an answer that is not 201.
type statusError struct {
	status int
	detail string
	retry  time.Duration
}

// Error implements error.
func (e *statusError) Error() string {
	text := fmt.Sprintf("the server answered %d %s", e.status, http.StatusText(e.status))
	if e.detail != "" {
		text += ": " + e.detail
	}
	return text
}

// post creates a session.
func post(ctx context.Context, client *http.Client, endpoint, bearer, offer string) (*resource, error) {
	ctx, cancel := context.WithTimeout(ctx, postTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(offer))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/sdp")
	r := &resource{http: client, bearer: bearer, posted: time.Now().UnixNano()}
	resp, err := r.do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	if resp.StatusCode != http.StatusCreated {
		return nil, newStatusError(resp, body)
	}
	location, err := url.Parse(resp.Header.Get("Location"))
	if err != nil || resp.Header.Get("Location") == "" {
		return nil, errors.New("the answer has no usable Location")
	}
	r.url, r.answer = resp.Request.URL.ResolveReference(location).String(), string(body)
	return r, nil
}

func newStatusError(resp *http.Response, body []byte) error {
	e := &statusError{status: resp.StatusCode}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s >= 0 {
		e.retry = time.Duration(s) * time.Second
	}
	var problem struct{ Title, Detail, Error string } // problem+json, and what others send
	if json.Unmarshal(bytes.TrimSpace(body), &problem) == nil {
		e.detail = cmp.Or(problem.Detail, problem.Title, problem.Error)
	}
	return e
}

// delete ends the session.
func (r *resource) delete(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, deleteTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, r.url, nil)
	if err != nil {
		return err
	}
	resp, err := r.do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer))
	return err
}

func (r *resource) do(req *http.Request) (*http.Response, error) {
	if r.bearer != "" {
		req.Header.Set("Authorization", "Bearer "+r.bearer)
	}
	return r.http.Do(req)
}
