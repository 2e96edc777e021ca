package e2e

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/client"
	"github.com/sluice-live/sluice/internal/client/clips"
)

// serving is the program `sluice serve` with what it printed at its start.
type serving struct {
	cmd     *exec.Cmd
	printed string
	ended   chan error
}

// serveSluice runs the program as a user would, on free ports.
func serveSluice(t *testing.T, args ...string) *serving {
	t.Helper()
	return runSluice(t, []string{buildSluice(t)}, args...)
}

// runSluice runs a program that is built, by a command that may have something
// before its path.
func runSluice(t *testing.T, command []string, args ...string) *serving {
	t.Helper()
	args = append([]string{"serve", "--log.level", logLevel(), "--http.addr=127.0.0.1:0", "--ops.addr=127.0.0.1:0", "--media.addr=127.0.0.1:0", "--data.dir", filepath.Join(t.TempDir(), "data")}, args...)
	args = append(command[1:len(command):len(command)], args...)
	s := &serving{cmd: exec.Command(command[0], args...), ended: make(chan error, 1)}
	s.cmd.Stderr = t.Output()
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.cmd.Process.Kill() })
	lines := bufio.NewReader(stdout)
	for !strings.Contains(s.printed, "Ctrl-C") {
		line, err := lines.ReadString('\n')
		s.printed += line
		if err != nil {
			t.Fatalf("it ended after printing %q: %v", s.printed, err)
		}
	}
	go func() {
		_, _ = io.Copy(io.Discard, lines)
		s.ended <- s.cmd.Wait()
	}()
	return s
}

// find returns the first group of what the program printed.
func (s *serving) find(t *testing.T, pattern string) string {
	t.Helper()
	found := regexp.MustCompile(pattern).FindStringSubmatch(s.printed)
	if found == nil {
		t.Fatalf("%s is not in\n%s", pattern, s.printed)
	}
	return found[1]
}

func status(t *testing.T, url string) int {
	t.Helper()
	response, err := clientHTTP(t).Get(url)
	if err != nil {
		t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode
}

// TestServe follows what the program prints, and stops it while somebody
// publishes, watches and listens to events.
func TestServe(t *testing.T) {
	s := serveSluice(t)
	for _, pattern := range []string{`Publish +(\S+)`, `Watch +(\S+)`, `Metrics +(\S+)`} {
		if url := s.find(t, pattern); status(t, url) != http.StatusOK {
			t.Errorf("%s answers %d", url, status(t, url))
		}
	}
	// What is pasted into OBS: one URL, and the stream's name as the token.
	publisher := publishClip(t, client.PublisherConfig{
		URL: s.find(t, `Server +(\S+)`), Token: s.find(t, `Bearer Token +(\S+)`), Clip: pattern(t, clips.H264, true),
	})
	base := strings.TrimSuffix(s.find(t, `Watch +(\S+)`), "/watch/demo")
	var viewer *client.Viewer
	within(t, patience, "the stream is live", func() bool {
		v, err := client.Watch(t.Context(), client.ViewerConfig{URL: base + "/whep/demo", HTTP: clientHTTP(t)})
		viewer = v
		return err == nil
	})
	t.Cleanup(func() { _ = viewer.Close() })
	within(t, patience, "frames", func() bool { return viewer.Stats().Video.Frames > 5 })

	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-s.ended:
		if err != nil {
			t.Errorf("it ended with %v, want exit code 0", err)
		}
	case <-time.After(patience):
		t.Fatal("it does not end after SIGTERM")
	}
	for name, done := range map[string]<-chan struct{}{"publisher": publisher.Done(), "viewer": viewer.Done()} {
		select {
		case <-done:
		case <-time.After(patience):
			t.Errorf("the %s was not told", name)
		}
	}
}

// TestTokenCommand starts a node that wants tokens, and makes them by the
// commands that it prints.
func TestTokenCommand(t *testing.T) {
	s := serveSluice(t, "--auth.mode=token")
	base := strings.TrimSuffix(s.find(t, `Watch +(\S+)`), "/watch/demo")
	token := func(pattern string) string {
		words := strings.Fields(s.find(t, pattern))
		out, err := exec.Command(words[0], words[1:]...).Output()
		if err != nil {
			t.Fatalf("%v: %v", words, err)
		}
		return strings.TrimSpace(string(out))
	}
	publish, watch := token(`(?m)^ +(.*token create.*--publish)$`), token(`(?m)^ +(.*token create.*--watch)$`)
	clip := pattern(t, clips.VP8, false)
	for name, bearer := range map[string]string{"no token": "", "the token to watch": watch} {
		p, err := client.Publish(t.Context(), client.PublisherConfig{URL: base + "/whip/demo", Token: bearer, Clip: clip, HTTP: clientHTTP(t)})
		if err == nil {
			_ = p.Close()
			t.Errorf("with %s one may publish", name)
		}
	}
	publishClip(t, client.PublisherConfig{URL: base + "/whip", Token: publish, Clip: clip})
	within(t, patience, "the stream can be watched", func() bool {
		v, err := client.Watch(t.Context(), client.ViewerConfig{URL: base + "/whep/demo", Token: watch, HTTP: clientHTTP(t)})
		if err != nil {
			return false
		}
		_ = v.Close()
		return true
	})
}

// TestStopEndsEventStreams stops a node under a player's open event stream, which
// ends with the event that tells the player to come back.
func TestStopEndsEventStreams(t *testing.T) {
	n := startNode(t, "stream.wait=true")
	offer, err := os.ReadFile("../internal/wish/testdata/chromium-156-whep-offer.sdp")
	if err != nil {
		t.Fatal(err)
	}
	send := func(method, url, contentType, body string) *http.Response {
		request, err := http.NewRequestWithContext(context.Background(), method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", contentType)
		request.Header.Set("Accept", "text/event-stream, */*")
		response, err := clientHTTP(t).Do(request)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = response.Body.Close() })
		return response
	}
	session := send("POST", n.URL+"/whep/demo", "application/sdp", string(offer))
	if session.StatusCode != http.StatusCreated {
		t.Fatalf("POST answers %d", session.StatusCode)
	}
	events := send("POST", n.URL+session.Header.Get("Location")+"/sse", "application/json", `["active","viewercount","reconnect"]`)
	stream := send("GET", n.URL+events.Header.Get("Location"), "", "")
	if stream.StatusCode != http.StatusOK {
		t.Fatalf("the event stream answers %d", stream.StatusCode)
	}
	first := make([]byte, 1)
	if _, err := io.ReadFull(stream.Body, first); err != nil {
		t.Fatal(err)
	}
	var rest bytes.Buffer
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(&rest, stream.Body)
		ended <- err
	}()
	begun := time.Now()
	n.close()
	t.Logf("the node took %v to stop", time.Since(begun).Round(time.Millisecond))
	select {
	case err := <-ended:
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("the event stream ended with %v", err)
		}
		if !strings.Contains(rest.String(), "event: reconnect") {
			t.Errorf("the player is not told to come back: %q", rest.String())
		}
	case <-time.After(patience):
		t.Error("the event stream is still open")
	}
}

// TestRefusedTokensAreLimited: the control API counts refusals as WHIP and WHEP
// do.
func TestRefusedTokensAreLimited(t *testing.T) {
	n := startNode(t, "auth.mode=token", "limits.auth_failures_per_minute=5")
	seen := map[int]int{}
	for range 12 {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.URL+"/api/v1/streams", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer nonsense")
		response, err := clientHTTP(t).Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		seen[response.StatusCode]++
	}
	if seen[http.StatusUnauthorized] == 0 || seen[http.StatusTooManyRequests] == 0 || len(seen) != 2 {
		t.Errorf("answers %v, want 401 and then 429", seen)
	}
}
