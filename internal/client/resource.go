package client

import (
	"bytes"
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
	maxAnswer   = 256 << 10 // bytes
	httpTimeout = 15 * time.Second
	userAgent   = "sluice"
)

// StatusError is an HTTP answer that is not the one that was hoped for.
type StatusError struct {
	Op         string // "POST", …
	Status     int
	Type       string        // of the problem+json body, "" when there was none
	Detail     string        // of the problem+json body
	RetryAfter time.Duration // 0: unsaid
}

// Error implements error.
func (e *StatusError) Error() string {
	text := fmt.Sprintf("%s: the server answered %d %s", e.Op, e.Status, http.StatusText(e.Status))
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	return text
}

// Temporary reports whether the same request may succeed later.
func (e *StatusError) Temporary() bool {
	return e.Status == http.StatusConflict || e.Status == http.StatusTooManyRequests || e.Status >= 500
}

// resource is a WHIP or WHEP session as HTTP sees it (RFC 9725 section 4).
type resource struct {
	http   *http.Client
	bearer string
	url    *url.URL // of the session
	links  []link
	answer string
	posted time.Time
}

// post creates the session.
func post(ctx context.Context, client *http.Client, endpoint, bearer, offer string) (*resource, error) {
	ctx, cancel := context.WithTimeout(ctx, httpTimeout)
	defer cancel()
	r := &resource{http: client, bearer: bearer, posted: time.Now()}
	resp, err := r.do(ctx, http.MethodPost, endpoint, "application/sdp", "application/sdp", offer)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusCreated {
		return nil, statusError("POST", resp)
	}
	location, err := url.Parse(resp.Header.Get("Location"))
	if err != nil || resp.Header.Get("Location") == "" {
		return nil, errors.New("POST: the answer has no usable Location")
	}
	r.url = resp.Request.URL.ResolveReference(location) // Request is the last one after redirects
	r.links = parseLinks(r.url, resp.Header.Values("Link"))
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("POST: reading the answer: %w", err)
	}
	r.answer = string(body)
	return r, nil
}

// delete ends the session. A session that is gone already is no error.
func (r *resource) delete(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, httpTimeout)
	defer cancel()
	resp, err := r.do(ctx, http.MethodDelete, r.url.String(), "", "", "")
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode/100 != 2 && resp.StatusCode != http.StatusNotFound {
		return statusError("DELETE", resp)
	}
	return nil
}

// postJSON sends v to an extension's URL.
func (r *resource) postJSON(ctx context.Context, target string, v any) (*http.Response, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	resp, err := r.do(ctx, http.MethodPost, target, "application/json", "", string(raw))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		defer func() { _ = resp.Body.Close() }()
		return nil, statusError("POST", resp)
	}
	return resp, nil
}

func (r *resource) do(ctx context.Context, method, target, contentType, accept, body string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, target, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", userAgent)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	if r.bearer != "" {
		req.Header.Set("Authorization", "Bearer "+r.bearer)
	}
	return r.http.Do(req)
}

func statusError(op string, resp *http.Response) error {
	e := &StatusError{Op: op, Status: resp.StatusCode}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s >= 0 {
		e.RetryAfter = time.Duration(s) * time.Second
	}
	raw, _ := io.ReadAll(io.LimitReader(resp.Body, 16<<10)) // what cannot be read is not shown
	var problem struct{ Type, Title, Detail string }
	if json.Unmarshal(bytes.TrimSpace(raw), &problem) == nil {
		e.Type, e.Detail = problem.Type, problem.Detail
		if e.Detail == "" {
			e.Detail = problem.Title
		}
	}
	return e
}

// link is one value of a Link header (RFC 8288).
type link struct {
	target string // absolute
	rel    string
}

// find returns the target of the first link with the relation, "" without one.
func (r *resource) find(rel string) string {
	for _, l := range r.links {
		if l.rel == rel {
			return l.target
		}
	}
	return ""
}

func parseLinks(base *url.URL, values []string) []link {
	var links []link
	for _, value := range values {
		for value != "" {
			open := strings.IndexByte(value, '<')
			end := strings.IndexByte(value, '>')
			if open < 0 || end < open {
				break
			}
			target := value[open+1 : end]
			params, rest := splitLink(value[end+1:])
			value = rest
			l := link{target: target, rel: params["rel"]}
			if ref, err := base.Parse(target); err == nil {
				l.target = ref.String()
			}
			links = append(links, l)
		}
	}
	return links
}

// splitLink reads ";"-separated parameters up to the "," that ends the link.
func splitLink(s string) (params map[string]string, rest string) {
	params = map[string]string{}
	for {
		s = strings.TrimLeft(s, " \t;")
		if s == "" || s[0] == ',' {
			return params, strings.TrimPrefix(s, ",")
		}
		i := strings.IndexAny(s, "=;,")
		if i < 0 || s[i] != '=' {
			if i < 0 {
				i = len(s)
			}
			params[strings.ToLower(strings.TrimSpace(s[:i]))] = ""
			s = s[i:]
			continue
		}
		name := strings.ToLower(strings.TrimSpace(s[:i]))
		s = s[i+1:]
		var value string
		if strings.HasPrefix(s, `"`) {
			value, s = quoted(s)
		} else {
			end := strings.IndexAny(s, ";,")
			if end < 0 {
				end = len(s)
			}
			value, s = strings.TrimSpace(s[:end]), s[end:]
		}
		if _, twice := params[name]; !twice {
			params[name] = value
		}
	}
}

// quoted reads a quoted-string (RFC 9110 5.6.4); one without an end goes to the
// end of s.
func quoted(s string) (value, rest string) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
			if i < len(s) {
				b.WriteByte(s[i])
			}
		case '"':
			return b.String(), s[i+1:]
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), ""
}
