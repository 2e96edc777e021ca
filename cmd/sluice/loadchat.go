package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/sluice-live/sluice/internal/client"
	"github.com/sluice-live/sluice/internal/load"
)

const (
	// chatConsent is how often a bot checks its path, about as browsers do (RFC
	// 7675 section 5.1).
	chatConsent = 4 * time.Second
	// chatGarbage lets the heap of many bots grow more between collections, which
	// takes processor time from a server on the same machine.
	chatGarbage = 400
)

// chatViewer is a viewer's session as a bot of the chat.
type chatViewer struct{ *client.Viewer }

// Send implements load.ChatConn.
func (v chatViewer) Send(frame []byte) error { return v.Chat(frame) }

// runChat loads the chat of a stream.
func (c *LoadCmd) runChat(ctx context.Context, out io.Writer) error {
	defer debug.SetGCPercent(debug.SetGCPercent(chatGarbage))
	base := strings.TrimSuffix(c.URL, "/")
	stream := url.PathEscape(c.Stream)
	requests := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	defer requests.CloseIdleConnections()
	dial := func(ctx context.Context, _ int, take func([]byte)) (load.ChatConn, error) {
		if c.Socket {
			return load.DialChat(ctx, base+"/chat/"+stream, c.Token, take)
		}
		v, err := client.Watch(ctx, client.ViewerConfig{
			URL: base + "/whep/" + stream, Token: c.Token, NoVideo: true, Consent: chatConsent, HTTP: requests, OnChat: take,
		})
		if err != nil {
			return nil, err
		}
		return chatViewer{v}, nil
	}
	cfg := load.ChatConfig{
		Members: c.Viewers, Senders: min(c.Senders, c.Viewers), Rate: c.Messages, Ramp: c.Ramp, Duration: c.Duration, PID: c.PID, Dial: dial,
	}
	if err := cfg.Validate(); err != nil {
		return usageError{err}
	}
	report, err := load.RunChat(ctx, cfg)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(out).Encode(report)
	}
	return report.Write(out)
}
