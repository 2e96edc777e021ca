package obs

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/lmittmann/tint"
	"github.com/mattn/go-isatty"
)

// Log formats.
const (
	FormatAuto = "auto" // coloured text on a terminal, JSON elsewhere
	FormatText = "text" // coloured text on a terminal, key=value elsewhere
	FormatJSON = "json"
)

// NewLogger returns a logger that writes to w. level is "debug", "info", "warn"
// or "error", format one of the Format constants; "" means info and auto.
//
// Attributes that are named like a secret are masked, and a record logged with
// a context that carries a request id gets it under the key "request".
func NewLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	var least slog.Level
	if level != "" {
		if err := least.UnmarshalText([]byte(level)); err != nil {
			return nil, fmt.Errorf("log level %q is none of debug, info, warn, error", level)
		}
	}
	opts := &slog.HandlerOptions{Level: least, ReplaceAttr: mask}
	var h slog.Handler
	switch format {
	case FormatAuto, FormatText, "":
		switch {
		case isTerminal(w):
			h = tint.NewHandler(w, &tint.Options{Level: least, ReplaceAttr: mask, TimeFormat: "15:04:05.000"})
		case format == FormatText:
			h = slog.NewTextHandler(w, opts)
		default:
			h = slog.NewJSONHandler(w, opts)
		}
	case FormatJSON:
		h = slog.NewJSONHandler(w, opts)
	default:
		return nil, fmt.Errorf("log format %q is none of %s, %s, %s", format, FormatAuto, FormatText, FormatJSON)
	}
	return slog.New(requestHandler{h}), nil
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// mask hides attributes whose key names a secret: a second net under Secret.
func mask(_ []string, a slog.Attr) slog.Attr {
	if namesSecret(a.Key) {
		a.Value = slog.StringValue(masked)
	}
	return a
}

func namesSecret(key string) bool {
	switch strings.ToLower(key) {
	case "token", "access_token", "bearer", "authorization", "jwt", "password", "pwd", "secret", "apisecret", "key", "ticket", "sdp", "cookie":
		return true
	}
	return false
}

// requestHandler adds the request id of the context to each record.
type requestHandler struct{ slog.Handler }

func (h requestHandler) Handle(ctx context.Context, r slog.Record) error {
	if id := RequestIDFrom(ctx); id != "" {
		r = r.Clone()
		r.AddAttrs(slog.String("request", id))
	}
	return h.Handler.Handle(ctx, r)
}

func (h requestHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return requestHandler{h.Handler.WithAttrs(attrs)}
}

func (h requestHandler) WithGroup(name string) slog.Handler {
	return requestHandler{h.Handler.WithGroup(name)}
}
