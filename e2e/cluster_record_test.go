package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sluice-live/sluice/internal/blob/s3test"
	"github.com/sluice-live/sluice/internal/client"
	"github.com/sluice-live/sluice/internal/client/clips"
)

// mostPauseGaps is how many gaps may stand for a moment without a publisher, and
// pauseGap how much longer it lasts for each more. For a node that did not say how far
// it was there are at least five.
const (
	mostPauseGaps = 2
	pauseGap      = 2 * time.Second // a segment
)

// testRecorderKilled kills, or stops for a while, the node that records a stream, or
// lets the publisher leave it. The publisher posts to another one, which goes on with
// the same recording; a third has the whole show at its end.
func testRecorderKilled(t *testing.T, built *cluster) {
	for name, signal := range map[string]syscall.Signal{"SIGKILL": syscall.SIGKILL, "SIGSTOP": syscall.SIGSTOP, "left": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nodes, store := built.on(t), s3test.Start(t)
			join := func(id string) *member {
				return nodes.join(t, id, "--record.enabled=true", "--record.ffmpeg=", "--stream.grace=8s", "--data.blob_url", store.URL(name))
			}
			a, b, c := join("a"), join("b"), join("c")
			clip := pattern(t, clips.H264, false)
			first := publishClip(t, client.PublisherConfig{URL: a.url + "/whip/demo", Clip: clip, KeyframesOnRequest: true})
			var before shown
			poll(t, patience, 100*time.Millisecond, "three segments", func() bool {
				before = a.shown(t, "/hls/demo/")
				return len(before.list) >= 3
			})
			poll(t, patience, 200*time.Millisecond, "another node shows it", func() bool {
				s := c.shown(t, "/hls/demo/")
				return s.rec == before.rec && len(s.list) >= 3
			})
			before = a.shown(t, "/hls/demo/")
			left := time.Now()
			var err error
			if signal == 0 {
				err = first.Close()
			} else {
				err = a.cmd.Process.Signal(signal)
			}
			if err != nil {
				t.Fatal(err)
			}
			// Before that, publishers are sent to the node that says nothing.
			lease := redis.NewClient(&redis.Options{Addr: nodes.redis.addr})
			poll(t, patience, 50*time.Millisecond, "the lease ends", func() bool { return lease.Exists(t.Context(), "sluice:{demo}:lease").Val() == 0 })
			if err := lease.Close(); err != nil {
				t.Fatal(err)
			}
			p := publishAgain(t, client.PublisherConfig{URL: b.url + "/whip/demo", Clip: clip, KeyframesOnRequest: true}, 100*time.Millisecond)
			<-p.Connected()
			most := mostPauseGaps + int(time.Since(left)/pauseGap)
			var after shown
			poll(t, patience, 100*time.Millisecond, "it goes on", func() bool {
				after = b.shown(t, "/hls/demo/")
				return after.rec == before.rec && after.last() >= before.last()+2 && !after.list[len(after.list)-1].gap && !after.list[len(after.list)-2].gap
			})
			if signal == syscall.SIGSTOP {
				if err := a.cmd.Process.Signal(syscall.SIGCONT); err != nil {
					t.Fatal(err)
				}
				poll(t, patience, 100*time.Millisecond, "the late node follows the other", func() bool {
					s := a.shown(t, "/hls/demo/")
					return s.rec == before.rec && s.last() >= after.last()
				})
			}
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
			var end shown
			poll(t, patience, 200*time.Millisecond, "the end", func() bool {
				end = c.shown(t, "/vod/"+before.rec+"/")
				return end.over
			})
			if gaps := end.gaps(); signal == 0 && gaps > most {
				t.Errorf("%d gaps: a node that lives has not handed everything over", gaps)
			}
			end.follows(t, before)
			end.follows(t, after)
			c.decodes(t, end)
		})
	}
}

// shown is the video of a show as a node's playlists have it.
type shown struct {
	rec, base, media string
	list             []shownSegment
	over             bool
}

type shownSegment struct {
	number uint64
	init   string
	date   string
	length string
	gap    bool
}

func (s shown) gaps() (n int) {
	for _, segment := range s.list {
		if segment.gap {
			n++
		}
	}
	return n
}

func (s shown) last() uint64 {
	if len(s.list) == 0 {
		return 0
	}
	return s.list[len(s.list)-1].number
}

// get reads an address, "" when there is nothing.
func (m *member) get(t testing.TB, path string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, m.url+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return ""
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		return ""
	}
	return string(body)
}

// shown reads the playlists below /hls/{stream}/ or /vod/{recording}/.
func (m *member) shown(t testing.TB, base string) shown {
	t.Helper()
	variant := regexp.MustCompile(`(?m)^(?:([^/#\n]+)/)?(v[^/#\n]*)/index\.m3u8$`).FindStringSubmatch(m.get(t, base+"index.m3u8"))
	if variant == nil {
		return shown{}
	}
	s := shown{rec: variant[1], base: base, media: base + strings.TrimSuffix(variant[0], "index.m3u8")}
	if s.rec == "" {
		s.rec = strings.Trim(strings.TrimPrefix(base, "/vod/"), "/")
	}
	var next shownSegment
	for line := range strings.Lines(m.get(t, s.media+"index.m3u8")) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch {
		case key == "#EXT-X-MEDIA-SEQUENCE":
			n, err := strconv.ParseUint(value, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			next.number = n
		case key == "#EXT-X-MAP":
			next.init = strings.Trim(strings.TrimPrefix(value, "URI="), `"`)
		case key == "#EXT-X-PROGRAM-DATE-TIME":
			next.date = value
		case key == "#EXT-X-GAP":
			next.gap = true
		case key == "#EXT-X-ENDLIST":
			s.over = true
		case key == "#EXTINF":
			next.length = value
		case key != "" && key[0] != '#':
			s.list = append(s.list, next)
			if uri := strconv.FormatUint(next.number, 10); !strings.HasPrefix(key, uri) {
				t.Errorf("%s stands for number %s", key, uri)
			}
			next = shownSegment{number: next.number + 1, init: next.init}
		}
	}
	return s
}

// follows checks that the show has what an earlier playlist of it had, under the same
// numbers. What that node could not store before it died is a gap: at most one
// segment, which it had just finished.
func (s shown) follows(t *testing.T, before shown) {
	t.Helper()
	lost := 0
	for _, was := range before.list {
		i := int(was.number) - int(s.list[0].number)
		if i < 0 || i >= len(s.list) {
			t.Errorf("number %d is not there", was.number)
			continue
		}
		switch is := s.list[i]; {
		case is.gap && !was.gap:
			lost++
		case is != was:
			t.Errorf("number %d was %+v and is %+v", was.number, was, is)
		}
	}
	if t.Logf("%d of %d segments were not stored before the node died", lost, len(before.list)); lost > 1 {
		t.Error("more than what was being written")
	}
}

// decodes lets FFmpeg decode every segment of a show by itself.
func (m *member) decodes(t *testing.T, s shown) {
	t.Helper()
	dir, whole := t.TempDir(), 0
	for _, g := range s.list {
		if g.gap {
			continue
		}
		data := m.get(t, s.media+g.init) + m.get(t, fmt.Sprintf("%s%d.m4s", s.media, g.number))
		file := filepath.Join(dir, fmt.Sprintf("%d.mp4", g.number))
		if err := os.WriteFile(file, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), "ffmpeg", "-nostdin", "-v", "warning", "-xerror", "-threads", "1", "-i", file,
			"-copyts", "-fps_mode", "passthrough", "-enc_time_base", "-1", "-f", "null", "-").CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("segment %d: %v\n%s", g.number, err, out)
		}
		whole++
	}
	t.Logf("%d segments, %d gaps", whole, s.gaps())
	if whole < 5 {
		t.Error("that is not the whole show")
	}
}
