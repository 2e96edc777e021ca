package sfu

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/pion/logging"
)

// pionLog carries Pion's messages to slog, one level lower: what Pion warns of
// is mostly what a remote did, and remotes must not fill the log.
type pionLog struct{ log *slog.Logger }

func newPionLog(log *slog.Logger) logging.LoggerFactory { return pionLog{log} }

// NewLogger implements logging.LoggerFactory.
func (p pionLog) NewLogger(scope string) logging.LeveledLogger {
	return pionScope{p.log, scope}
}

type pionScope struct {
	log   *slog.Logger
	scope string
}

func (p pionScope) write(level slog.Level, format string, args ...any) {
	ctx := context.Background()
	if p.log.Enabled(ctx, level) {
		p.log.Log(ctx, level, "pion", "pion", p.scope, "text", fmt.Sprintf(format, args...))
	}
}

func (p pionScope) Trace(string)                 {}
func (p pionScope) Tracef(string, ...any)        {}
func (p pionScope) Debug(string)                 {}
func (p pionScope) Debugf(string, ...any)        {}
func (p pionScope) Info(msg string)              { p.write(slog.LevelDebug-4, "%s", msg) }
func (p pionScope) Infof(f string, args ...any)  { p.write(slog.LevelDebug-4, f, args...) }
func (p pionScope) Warn(msg string)              { p.write(slog.LevelDebug, "%s", msg) }
func (p pionScope) Warnf(f string, args ...any)  { p.write(slog.LevelDebug, f, args...) }
func (p pionScope) Error(msg string)             { p.write(slog.LevelDebug, "%s", msg) }
func (p pionScope) Errorf(f string, args ...any) { p.write(slog.LevelDebug, f, args...) }
