package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"

	"github.com/sluice-live/sluice/internal/load"
)

// chatGarbage lets the heap of many bots grow more between collections, which
// takes processor time from a server on the same machine.
const chatGarbage = 400

// runChat loads the chat of a stream.
func (c *LoadCmd) runChat(ctx context.Context, out io.Writer) (err error) {
	defer debug.SetGCPercent(debug.SetGCPercent(chatGarbage))
	base := strings.TrimSuffix(c.URL, "/")
	stream := url.PathEscape(c.Stream)
	requests := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	defer requests.CloseIdleConnections()
	dial := func(ctx context.Context, _ int, take func([]byte)) (load.ChatConn, error) {
		return load.DialChat(ctx, base+"/chat/"+stream, c.Token, take)
	}
	if !c.Socket {
		channels, err := load.NewChatChannels(ctx, base+"/whep/"+stream, c.Token, requests)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, channels.Close()) }()
		dial = channels.Dial
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
