//go:build linux

package e2e

import (
	"encoding/json"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/e2e/netwire"
	"github.com/sluice-live/sluice/internal/client"
	"github.com/sluice-live/sluice/internal/client/clips"
)

// across are nodes at both ends of a wire: their links to each other and to Redis,
// which is at the near end, go through it.
type across struct {
	*cluster
	wire *netwire.Wire
}

func newAcross(t *testing.T, program string, set netwire.Settings) *across {
	t.Helper()
	wire := openWire(t, set)
	return &across{wire: wire, cluster: &cluster{program: program, redis: redisOn(t, wire.Near.String())}}
}

// inside is what runs a command at the far end.
func (a *across) inside(command ...string) []string {
	return append([]string{"ip", "netns", "exec", a.wire.Namespace}, command...)
}

func (a *across) near(t *testing.T, id string, more ...string) *member {
	t.Helper()
	return a.at(t, []string{a.program}, a.wire.Near.String(), id, more...)
}

func (a *across) far(t *testing.T, id string, more ...string) *member {
	t.Helper()
	return a.at(t, a.inside(a.program), a.wire.Far.String(), id, more...)
}

func (a *across) at(t *testing.T, command []string, ip, id string, more ...string) *member {
	t.Helper()
	return a.start(t, command, id, append([]string{
		"--http.addr", ip + ":0", "--media.addr", ip + ":0", "--ops.addr", ip + ":0", "--auth.mode=open", "--auth.allow_open",
	}, more...)...)
}

// publish publishes at a node of the far end, from there.
func (a *across) publish(t *testing.T, m *member) {
	t.Helper()
	command := a.inside(a.program, "publish", "--simulcast", "--keyframes=on-request", "--url", m.url+"/whip/demo")
	cmd := exec.Command(command[0], command[1:]...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

// TestClusterLinks makes the links between nodes bad, and cuts them.
func TestClusterLinks(t *testing.T) {
	t.Parallel()
	program := buildSluice(t)
	for name, test := range map[string]func(*testing.T, string){
		"lossy relay": testLossyRelay, "origin cut off": testOriginCutOff, "parent cut off": testParentCutOff,
		"dead places": testDeadPlaces,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // each has a wire of its own, and mostly waits
			test(t, program)
		})
	}
}

// testLossyRelay loses one packet in twenty between two nodes that are 100 ms
// apart: the relay repairs it, and its viewers miss nothing.
func testLossyRelay(t *testing.T, program string) {
	nodes := newAcross(t, program, netwire.Settings{Delay: 50 * time.Millisecond})
	origin, edge := nodes.far(t, "origin"), nodes.near(t, "edge")
	nodes.publish(t, origin)
	origin.live(t, "demo", 3)
	viewers := watchClip(t, edge.url+"/whep/demo", 5)
	goOn(t, viewers, 30, "pictures")
	nodes.wire.Set(netwire.Settings{Delay: 50 * time.Millisecond, Loss: 0.05})
	began := time.Now()
	before := viewers[0].Stats().Video
	poll(t, patience, 100*time.Millisecond, "300 pictures", func() bool { return viewers[0].Stats().Video.Frames >= before.Frames+300 })
	out, back := nodes.wire.Counters()
	for i, v := range viewers {
		s := v.Stats()
		t.Logf("viewer %d: %d pictures, %d incomplete, %d packets lost, %d of sound, longest time between pictures %v", i,
			s.Video.Frames, s.Video.Incomplete, s.Video.Lost, s.Audio.Lost, v.longest(began).Round(time.Millisecond))
		// Incomplete are also those that came later than the client waits, which is
		// about a quarter of a second: at the second try.
		if s.Video.Incomplete > s.Video.Frames/20 || s.Video.Lost > s.Video.Packets/200 || s.Audio.Lost > s.Audio.Packets/50 {
			t.Errorf("viewer %d missed too much", i)
		}
	}
	t.Logf("the wire: %+v out, %+v back", out, back)
	samePictures(t, viewers)
}

// watch watches at a node of the far end, from there, and counts pictures.
func (a *across) watch(t *testing.T, m *member) (pictures func() int64) {
	t.Helper()
	command := a.inside(a.program, "watch", "--json", "--url", m.url+"/whep/demo")
	cmd := exec.Command(command[0], command[1:]...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var frames atomic.Int64
	var reading sync.WaitGroup
	reading.Go(func() {
		for reports := json.NewDecoder(out); ; {
			var r struct{ Video struct{ Frames int64 } }
			if reports.Decode(&r) != nil {
				return
			}
			frames.Store(r.Video.Frames)
		}
	})
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		reading.Wait()
		_ = cmd.Wait()
	})
	return frames.Load
}

// testOriginCutOff cuts the wire between origin and edge for a while. The origin and
// a node beside it are then without Redis for longer than a lease lasts, and go on.
func testOriginCutOff(t *testing.T, program string) {
	nodes := newAcross(t, program, netwire.Settings{Delay: time.Millisecond})
	origin, edge, beside := nodes.far(t, "origin"), nodes.near(t, "edge"), nodes.far(t, "beside")
	nodes.publish(t, origin)
	origin.live(t, "demo", 3)
	viewers := watchClip(t, edge.url+"/whep/demo", 2)
	goOn(t, viewers, 30, "pictures")
	pictures := nodes.watch(t, beside)
	within(t, patience, "pictures beside the origin", func() bool { return pictures() > 0 })
	nodes.wire.Set(netwire.Settings{Loss: 1})
	seen, cut := pictures(), time.Now()
	edge.until(t, patience, "the stream is paused", "demo", func(s sluice.Stream) bool { return s.State == sluice.StreamPaused && s.Viewers == 2 })
	within(t, patience, "pictures of five seconds beside the origin, without Redis", func() bool { return pictures() >= seen+150 })
	t.Logf("150 pictures without Redis within %v", time.Since(cut).Round(time.Millisecond))
	nodes.wire.Set(netwire.Settings{Delay: time.Millisecond})
	mended := time.Now()
	for i, v := range viewers {
		within(t, patience, "pictures again", func() bool { return !v.keyAfter(mended).IsZero() })
		t.Logf("viewer %d: pictures %v after the wire was mended", i, v.keyAfter(mended).Sub(mended).Round(time.Millisecond))
	}
	samePictures(t, viewers)
}

// testParentCutOff cuts a node off that another one pulls from.
func testParentCutOff(t *testing.T, program string) {
	nodes := newAcross(t, program, netwire.Settings{Delay: time.Millisecond})
	one := "--relay.max_children=1"
	a, b := nodes.near(t, "a", one), nodes.far(t, "b", one)
	publishClip(t, client.PublisherConfig{URL: a.url + "/whip/demo", Clip: pattern(t, clips.H264, true), KeyframesOnRequest: true})
	a.live(t, "demo", 3)
	goOn(t, watchClip(t, b.url+"/whep/demo", 1), 10, "pictures at b")
	c := nodes.near(t, "c", one)
	viewers := watchClip(t, c.url+"/whep/demo", 2)
	goOn(t, viewers, 30, "pictures at c")
	nodes.wire.Set(netwire.Settings{Loss: 1})
	cut := time.Now()
	goOn(t, viewers, 60, "pictures through another parent")
	for i, v := range viewers {
		t.Logf("viewer %d: longest time between pictures %v", i, v.longest(cut).Round(time.Millisecond))
	}
	samePictures(t, viewers)
}

// backups waits until viewers of a node are told of so many others.
func (m *member) backups(t *testing.T, n int) (all []string) {
	t.Helper()
	// Nodes look for each other every few seconds.
	poll(t, patience, 50*time.Millisecond, m.id+" names other nodes", func() bool {
		v, err := client.Watch(t.Context(), client.ViewerConfig{URL: m.url + "/whep/demo", HTTP: clientHTTP(t)})
		if err != nil {
			return false
		}
		all = v.Backups()
		return v.Close() == nil && len(all) == n
	})
	return all
}

// testDeadPlaces lets a page's node and the next one that it knows go silent: nothing
// refuses a connection, and nothing answers. Then it begins at a node that answers,
// but whose media do not get through.
func testDeadPlaces(t *testing.T, program string) {
	nodes := newAcross(t, program, netwire.Settings{Delay: time.Millisecond})
	a := nodes.near(t, "a", "--node.region=home")
	b, c := nodes.far(t, "b", "--node.region=out"), nodes.far(t, "c", "--node.region=out")
	publishClip(t, client.PublisherConfig{URL: a.url + "/whip/demo", Clip: pattern(t, clips.H264, true), KeyframesOnRequest: true})
	a.live(t, "demo", 3)
	if next := b.backups(t, 2)[0]; next != c.url+"/whep/demo" {
		t.Fatalf("the next place is %s, want the one of the same region", next)
	}
	page := newBrowser(t)
	page.open(b.url + "/watch/demo")
	page.until("the picture plays", state+" === 'live' && "+decoded+" > 30")
	page.exec(gaps)
	nodes.wire.Set(netwire.Settings{Loss: 1})
	page.until("the page goes on at the place that is left", session+".startsWith('"+a.url+"') && performance.now() - window.gaps.last < 300")
	t.Logf("longest time without a picture when the next place is silent too: %.0f ms", readGaps(page).Worst)
	nodes.wire.Set(netwire.Settings{Delay: time.Millisecond})

	deaf := nodes.near(t, "deaf", "--node.region=home", "--media.public_ips=192.0.2.1", "--media.ice_lite", "--media.tcp=false")
	deaf.backups(t, 2)
	page.open(deaf.url + "/watch/demo")
	began := time.Now()
	page.until("the page goes on where media get through", state+" === 'live' && "+session+" && !"+session+".startsWith('"+deaf.url+"')")
	t.Logf("pictures after %v when those of the first place do not get through", time.Since(began).Round(time.Millisecond))
}
