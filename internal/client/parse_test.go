package client

import (
	"encoding/binary"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtp"

	"github.com/sluice-live/sluice/internal/client/clips"
)

func TestParseLinks(t *testing.T) {
	base, err := url.Parse("http://host/whep/demo/1")
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		header []string
		want   []link
	}{
		"none":       {nil, nil},
		"relative":   {[]string{`</a/b>; rel="x"`}, []link{{"http://host/a/b", "x"}}},
		"several":    {[]string{`<a>; rel=x, <b>; title="c, d"; rel="y"`, `<c>;rel=z`}, []link{{"http://host/whep/demo/a", "x"}, {"http://host/whep/demo/b", "y"}, {"http://host/whep/demo/c", "z"}}},
		"ice server": {[]string{`<turn:t.example?transport=tcp>; rel="ice-server"; username="u\"v"`}, []link{{"turn:t.example?transport=tcp", "ice-server"}}},
		"garbage":    {[]string{`;;,<`, `<a`, `a>`, `<>;`}, []link{{"http://host/whep/demo/1", ""}}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := parseLinks(base, tc.header); !slices.Equal(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func FuzzParseLinks(f *testing.F) {
	f.Add(`<a>; rel="x", <b>; title="c\", d"; rel=y`)
	f.Add(`<a`)
	base := &url.URL{Scheme: "http", Host: "host", Path: "/"}
	f.Fuzz(func(t *testing.T, header string) {
		if n := len(parseLinks(base, []string{header})); n > len(header) {
			t.Errorf("%d links in %d bytes", n, len(header))
		}
	})
}

func FuzzReadEvents(f *testing.F) {
	f.Add("event: layers\ndata: {}\n\n")
	f.Add("data\ndata: x\n\n:c\n\n")
	f.Fuzz(func(t *testing.T, stream string) {
		readEvents(strings.NewReader(stream), func(e Event) bool {
			if e.Type == "" {
				t.Error("an event without type")
			}
			return true
		})
	})
}

func TestStatusErrorTemporary(t *testing.T) {
	for status, want := range map[int]bool{
		http.StatusBadRequest: false, http.StatusUnauthorized: false, http.StatusConflict: true,
		http.StatusTooManyRequests: true, http.StatusServiceUnavailable: true,
	} {
		if got := (&StatusError{Status: status}).Temporary(); got != want {
			t.Errorf("%d: %v", status, got)
		}
	}
}

func TestInspect(t *testing.T) {
	for _, codec := range []clips.Codec{clips.H264, clips.VP8} {
		clip := synthetic(t, codec, true)
		for _, layer := range clip.Layers {
			out, err := newOutTrack(layer, "")
			if err != nil {
				t.Fatal(err)
			}
			for i := range layer.Len() {
				frame, err := layer.Frame(i)
				if err != nil {
					t.Fatal(err)
				}
				key, width, height := false, 0, 0
				for n, payload := range out.payloader.Payload(payloadMTU, frame) {
					f := inspect(mime(codec), payload)
					if f.start && n > 0 {
						t.Fatalf("%s frame %d: packet %d is taken for a start", codec, i, n)
					}
					key = key || f.key
					width, height = max(width, f.width), max(height, f.height)
				}
				if key != layer.Key(i) {
					t.Fatalf("%s frame %d: key %v", codec, i, key)
				}
				if key && (width != layer.Width || height != layer.Height) {
					t.Fatalf("%s frame %d: %dx%d", codec, i, width, height)
				}
			}
		}
	}
}

func FuzzInspect(f *testing.F) {
	f.Add(byte(0), []byte{0x90, 0x80, 0x80, 1, 0x10, 0, 0, 0x9d, 1, 0x2a, 0, 5, 0xd0, 2})
	f.Add(byte(1), []byte{24, 0, 4, 0x67, 0x42, 0xc0, 0x1f, 0, 1, 0x68})
	f.Add(byte(2), []byte{0x8a})
	f.Add(byte(3), []byte{0x18})
	f.Add(byte(4), []byte{48 << 1, 1, 0, 3, 32 << 1})
	names := []string{"video/VP8", "video/H264", "video/VP9", "video/AV1", "video/H265"}
	f.Fuzz(func(_ *testing.T, codec byte, payload []byte) {
		inspect(names[int(codec)%len(names)], payload)
	})
}

// vp8 makes a packet of a stream whose frames have two packets each.
func vp8(seq uint16, key bool) *rtp.Packet {
	picture := seq / 2
	head := []byte{0x90, 0x80, 0x80 | byte(picture>>8), byte(picture), 1}
	if key {
		head = append(head[:4], 0, 0, 0, 0x9d, 1, 0x2a, 0x40, 1, 0xb4, 0)
	}
	if seq%2 == 1 {
		head[0] = 0x80
	}
	return &rtp.Packet{
		Header:  rtp.Header{Version: 2, SequenceNumber: seq, Timestamp: uint32(picture) * 3000, Marker: seq%2 == 1},
		Payload: head,
	}
}

func TestInTrack(t *testing.T) {
	type want struct {
		packets, lost, reordered, duplicates, frames, keyframes, breaks uint64
	}
	order := func(seqs ...uint16) (ps []*rtp.Packet) {
		for _, s := range seqs {
			ps = append(ps, vp8(s, s < 102))
		}
		return ps
	}
	for name, tc := range map[string]struct {
		packets []*rtp.Packet
		want    want
	}{
		"in order":       {order(100, 101, 102, 103, 104, 105), want{packets: 6, frames: 3, keyframes: 1}},
		"swapped":        {order(100, 101, 103, 102, 104, 105), want{packets: 6, frames: 3, keyframes: 1, reordered: 1}},
		"frames swapped": {order(100, 101, 104, 105, 102, 103), want{packets: 6, frames: 3, keyframes: 1, reordered: 2}},
		"lost":           {order(100, 101, 102, 104, 105), want{packets: 5, frames: 2, keyframes: 1, lost: 1}},
		"duplicate":      {order(100, 101, 101, 102, 103), want{packets: 4, frames: 2, keyframes: 1, duplicates: 1}},
		"joined late":    {order(103, 104, 105), want{packets: 3, frames: 1}},
		"sequence break": {order(100, 101, 5000, 5001), want{packets: 4, frames: 2, keyframes: 1, breaks: 1}},
		"picture break": {func() []*rtp.Packet {
			ps := order(100, 101, 102, 103)
			binary.BigEndian.PutUint16(ps[2].Payload[2:], 0x8000|90)
			binary.BigEndian.PutUint16(ps[3].Payload[2:], 0x8000|90)
			return ps
		}(), want{packets: 4, frames: 2, keyframes: 1, breaks: 1}},
		"timestamp back": {func() []*rtp.Packet {
			ps := order(100, 101, 102, 103)
			ps[2].Timestamp, ps[3].Timestamp = 10, 10
			return ps
		}(), want{packets: 4, frames: 2, keyframes: 1, breaks: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Now()
			track := newInTrack("video", "video/VP8", 1, 90000, now)
			for _, p := range tc.packets {
				now = now.Add(time.Millisecond)
				track.push(p, 20, false, now)
			}
			s := track.snapshot()
			got := want{s.Packets, s.Lost, s.Reordered, s.Duplicates, s.Frames, s.Keyframes, s.Breaks.Total()}
			if got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestWanted(t *testing.T) {
	now := time.Now()
	track := newInTrack("video", "video/VP8", 1, 90000, now)
	for _, seq := range []uint16{100, 101, 103, 106} {
		track.push(vp8(seq, seq < 102), 20, false, now)
	}
	ask := func(after time.Duration) []uint16 {
		w := track.wanted(now.Add(after))
		slices.Sort(w)
		return w
	}
	if w := ask(0); !slices.Equal(w, []uint16{102, 104, 105}) {
		t.Errorf("at first %v", w)
	}
	if w := ask(nackEvery / 2); len(w) != 0 {
		t.Errorf("again too early: %v", w)
	}
	track.push(vp8(104, false), 20, true, now)
	if w := ask(nackEvery); !slices.Equal(w, []uint16{102, 105}) {
		t.Errorf("after a repair %v", w)
	}
	if w := ask(2 * nackAge); len(w) != 0 {
		t.Errorf("too old: %v", w)
	}
}

func TestCursor(t *testing.T) {
	clip := synthetic(t, clips.VP8, false)
	track, err := newOutTrack(clip.Layers[0], "")
	if err != nil {
		t.Fatal(err)
	}
	var last time.Duration
	for i := range 3 * track.media.Len() {
		due := track.due()
		if want := time.Duration(i) * time.Second / 30; (due - want).Abs() > time.Microsecond {
			t.Fatalf("frame %d due at %v, want %v", i, due, want)
		}
		last = due
		track.advance(clip.Period)
	}
	if got := track.timestamp(12*time.Second) - track.baseTime; got != 12*90000 {
		t.Errorf("12 s are %d ticks", got)
	}
	track.advance(clip.Period)
	due := track.due()
	track.jump(due)
	if !track.media.Key(track.cursor.next) || track.due() != due || due <= last {
		t.Errorf("after a jump frame %d is due at %v, want a keyframe at %v", track.cursor.next, track.due(), due)
	}
}
