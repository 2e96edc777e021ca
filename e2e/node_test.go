package e2e

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/sluice-live/sluice/internal/node"
	"github.com/sluice-live/sluice/internal/obs"
)

func TestMain(m *testing.M) {
	folder, err := os.MkdirTemp("", "sluice-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	programFolder = folder
	code := m.Run()
	if err := os.RemoveAll(folder); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, "leaked:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// running is a node that serves.
type running struct {
	URL string // of the public port, without a slash at the end
	Ops string // of the ops port

	stop    context.CancelFunc
	stopped chan error // of Run; buffered
	t       testing.TB
}

// transcodes lets startNode's node make H.264, AAC and thumbnails.
const transcodes = "record.ffmpeg=ffmpeg"

// logLevel is that of the nodes under test: E2E_LOG, or warn, so that a test that
// fails shows little but why.
func logLevel() string { return cmp.Or(os.Getenv("E2E_LOG"), "warn") }

// startNode serves a node with the default configuration, on free ports of
// loopback and with a data directory of its own, changed by settings such as
// "stream.wait=true". It does not transcode, which takes the processors from what
// is tested, unless there is the setting transcodes. The test's end stops it.
func startNode(t testing.TB, settings ...string) *running {
	t.Helper()
	flags := map[string]string{
		"http.addr": "127.0.0.1:0", "ops.addr": "127.0.0.1:0", "media.addr": "127.0.0.1:0",
		"data.dir": t.TempDir(), "record.ffmpeg": "",
	}
	for _, s := range settings {
		key, value, _ := strings.Cut(s, "=")
		flags[key] = value
	}
	config, err := node.Load(node.Sources{Flags: flags})
	if err != nil {
		t.Fatal(err)
	}
	log, err := obs.NewLogger(t.Output(), logLevel(), "text")
	if err != nil {
		t.Fatal(err)
	}
	n, err := node.New(config, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{URL: n.URL(), Ops: n.OpsURL(), stop: cancel, stopped: make(chan error, 1), t: t}
	go func() { r.stopped <- n.Run(ctx) }()
	t.Cleanup(r.close)
	return r
}

// close stops the node as SIGTERM would, and waits for its end. It may be called
// more than once.
func (r *running) close() {
	r.t.Helper()
	r.stop()
	if r.stopped == nil {
		return
	}
	if err := <-r.stopped; err != nil {
		r.t.Errorf("the node ended with: %v", err)
	}
	r.stopped = nil
}
