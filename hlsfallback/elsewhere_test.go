package hlsfallback

import (
	"strings"
	"testing"
)

// A show that another node goes on with is a plain playlist of what is on the shelf.
func TestAnotherNodeGoesOn(t *testing.T) {
	f := newFeed(t, Config{})
	f.segment(5)
	f.shelf.mu.Lock()
	f.shelf.recordings, f.shelf.elsewhere = append(f.shelf.recordings[:0], f.rec), true
	f.shelf.mu.Unlock()
	f.h.Leave("rec1")
	f.h.Leave("rec1")
	if multi := f.get("/hls/demo/index.m3u8", 200); !strings.Contains(multi, "rec1/v0/index.m3u8") {
		t.Errorf("the show is\n%s", multi)
	}
	p := f.get("/hls/demo/rec1/v0/index.m3u8", 200)
	if len(tags(p, "#EXTINF")) != 5 || strings.Contains(p, "ENDLIST") || strings.Contains(p, "PART") || strings.Contains(p, "X-START") || strings.Contains(p, "PLAYLIST-TYPE") {
		t.Errorf("its playlist is\n%s", p)
	}
	f.get("/hls/demo/rec1/v0/4.m4s", 200)
	f.get("/hls/other/index.m3u8", 409)
	if p := f.get("/vod/rec1/v0/index.m3u8", 200); !strings.Contains(p, "EVENT\n#EXT-X-START") {
		t.Errorf("from its start it is\n%s", p)
	}
}
