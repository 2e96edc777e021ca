package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

const (
	relEvents = "urn:ietf:params:whep:ext:core:server-sent-events"
	relLayer  = "urn:ietf:params:whep:ext:core:layer"

	maxEvent = 256 << 10 // bytes of one line
)

// Event is one server-sent event of a WHEP session.
type Event struct {
	Type string // "active", "inactive", "layers", "viewercount", "reconnect", …
	Data string
}

// Events subscribes to the session's server-sent events. With no types the
// server sends all. The channel is closed when ctx or the stream ends; the
// caller must read until then.
func (v *Viewer) Events(ctx context.Context, types ...string) (<-chan Event, error) {
	target := v.resource.find(relEvents)
	if target == "" {
		return nil, errors.New("the server has no events for this session")
	}
	if types == nil {
		types = []string{}
	}
	resp, err := v.resource.postJSON(ctx, target, types)
	if err != nil {
		return nil, fmt.Errorf("subscribing: %w", err)
	}
	_ = resp.Body.Close()
	location, err := resp.Location()
	if err != nil {
		return nil, fmt.Errorf("subscribing: %w", err)
	}
	stream, err := v.resource.do(ctx, http.MethodGet, location.String(), "", "text/event-stream", "")
	if err != nil {
		return nil, err
	}
	if stream.StatusCode != http.StatusOK {
		defer func() { _ = stream.Body.Close() }()
		return nil, statusError("GET", stream)
	}
	events := make(chan Event)
	started := v.spawn(func() {
		defer close(events)
		defer func() { _ = stream.Body.Close() }()
		stop := context.AfterFunc(v.ctx, func() { _ = stream.Body.Close() })
		defer stop()
		readEvents(stream.Body, func(e Event) bool {
			select {
			case events <- e:
				return true
			case <-ctx.Done():
			case <-v.ctx.Done():
			}
			return false
		})
	})
	if !started {
		return nil, errors.Join(errors.New("the session has ended"), stream.Body.Close())
	}
	return events, nil
}

// readEvents parses an event stream (HTML, 9.2.6) until it ends or emit says
// stop. Ids and retry times are not used.
func readEvents(body io.Reader, emit func(Event) bool) {
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxEvent)
	var e Event
	var data []string
	for lines.Scan() {
		line := lines.Text()
		if line == "" {
			if data != nil {
				e.Data = strings.Join(data, "\n")
				if e.Type == "" {
					e.Type = "message"
				}
				if !emit(e) {
					return
				}
			}
			e, data = Event{}, nil
			continue
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "event":
			e.Type = value
		case "data":
			data = append(data, value)
		}
	}
}

// Layer is what a viewer asks of its video. The zero value leaves the choice to
// the server.
type Layer struct {
	RID       string `json:"rid,omitempty"`
	MaxWidth  int    `json:"maxWidth,omitempty"`
	MaxHeight int    `json:"maxHeight,omitempty"`
}

// SelectLayer asks for a layer of the video.
func (v *Viewer) SelectLayer(ctx context.Context, layer Layer) error {
	target := v.resource.find(relLayer)
	if target == "" {
		return errors.New("the server lets no layer be chosen for this session")
	}
	ctx, cancel := context.WithTimeout(ctx, httpTimeout)
	defer cancel()
	resp, err := v.resource.postJSON(ctx, target, layer)
	if err != nil {
		return fmt.Errorf("choosing a layer: %w", err)
	}
	return resp.Body.Close()
}
