package sfu

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/sluice-live/sluice"
)

// talker is a viewer with a chat channel to an SFU whose chat answers each frame
// with "re: " and the frame.
type talker struct {
	pc     *webrtc.PeerConnection
	viewer *Viewer
	heard  chan string
	open   *webrtc.DataChannel // the first one
}

// echo is a chat that answers, and notes who came.
type echo struct {
	mu     sync.Mutex
	owners []ChannelOwner
}

func (e *echo) serve(c *Channel) {
	e.mu.Lock()
	e.owners = append(e.owners, c.Owner())
	e.mu.Unlock()
	for {
		frame, err := c.Receive()
		switch {
		case errors.Is(err, ErrFrameTooLong):
			frame = []byte("too long")
		case err != nil:
			return
		}
		if c.Send(append([]byte("re: "), frame...)) != nil {
			return
		}
	}
}

func newChatSFU(t *testing.T, chat func(*Channel)) *SFU {
	t.Helper()
	s, err := New(Config{MediaAddr: "127.0.0.1:0", Loopback: true, Wait: true}, Deps{Chat: chat})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// openTalk watches a stream with a data channel of these options.
func openTalk(t *testing.T, s *SFU, label string, options *webrtc.DataChannelInit) (*talker, *webrtc.DataChannel) {
	t.Helper()
	k := &talker{pc: newPeer(t), heard: make(chan string, 64)}
	if _, err := k.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
		t.Fatal(err)
	}
	dc := k.channel(t, label, options)
	o := offerWith(offerFrom(t, k.pc, nil))
	o.Grant = sluice.Grant{Identity: "alice", Watch: true}
	v, err := s.Watch(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	k.viewer = v
	if !strings.Contains(v.Answer(), "m=application 9 ") {
		t.Errorf("the data section is not accepted:\n%s", v.Answer())
	}
	if !strings.Contains(v.Answer(), "a=max-message-size:16384\r\n") {
		t.Errorf("the answer does not say how long messages may be:\n%s", v.Answer())
	}
	setAnswer(t, k.pc, strings.Replace(v.Answer(), "a=max-message-size:16384", "a=max-message-size:1000000", 1)) // it does not care
	return k, dc
}

func (k *talker) channel(t *testing.T, label string, options *webrtc.DataChannelInit) *webrtc.DataChannel {
	t.Helper()
	dc, err := k.pc.CreateDataChannel(label, options)
	if err != nil {
		t.Fatal(err)
	}
	dc.OnMessage(func(m webrtc.DataChannelMessage) {
		if !m.IsString {
			t.Error("not a text frame")
		}
		k.heard <- string(m.Data)
	})
	return dc
}

func (k *talker) hears(t *testing.T, want string) {
	t.Helper()
	select {
	case got := <-k.heard:
		if got != want {
			t.Errorf("heard %.40q, want %.40q", got, want)
		}
	case <-time.After(patience):
		t.Fatalf("not heard: %.40q", want)
	}
}

func state(dc *webrtc.DataChannel, want webrtc.DataChannelState) func() bool {
	return func() bool { return dc.ReadyState() == want }
}

func TestChatChannel(t *testing.T) {
	e := &echo{}
	s := newChatSFU(t, e.serve)
	k, dc := openTalk(t, s, ChatLabel, nil)
	eventually(t, "open channel", state(dc, webrtc.DataChannelStateOpen))
	for _, frame := range []string{"hello", strings.Repeat("x", channelFrame)} {
		if err := dc.SendText(frame); err != nil {
			t.Fatal(err)
		}
		k.hears(t, "re: "+frame)
	}
	if err := dc.SendText(strings.Repeat("x", channelFrame+1)); err != nil {
		t.Fatal(err)
	}
	k.hears(t, "re: too long")
	if err := dc.SendText("still here"); err != nil {
		t.Fatal(err)
	}
	k.hears(t, "re: still here")
	e.mu.Lock()
	if len(e.owners) != 1 || e.owners[0].Grant.Identity != "alice" || e.owners[0].Stream != "demo" || e.owners[0].Publisher {
		t.Errorf("owners %+v", e.owners)
	}
	e.mu.Unlock()
	k.viewer.Close("test")
}

func TestRefusedChannels(t *testing.T) {
	off, few := false, uint16(3)
	for name, tt := range map[string]struct {
		label   string
		options *webrtc.DataChannelInit
	}{
		"another label": {"files", nil},
		"unordered":     {ChatLabel, &webrtc.DataChannelInit{Ordered: &off}},
		"unreliable":    {ChatLabel, &webrtc.DataChannelInit{MaxRetransmits: &few}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newChatSFU(t, (&echo{}).serve)
			k, dc := openTalk(t, s, tt.label, tt.options)
			eventually(t, "closed channel", state(dc, webrtc.DataChannelStateClosed))
			good := k.channel(t, ChatLabel, nil)
			eventually(t, "good channel", state(good, webrtc.DataChannelStateOpen))
			if err := good.SendText("hello"); err != nil {
				t.Fatal(err)
			}
			k.hears(t, "re: hello")
		})
	}
}

// TestManyChannels opens more channels than allowed, then far more.
func TestManyChannels(t *testing.T) {
	s := newChatSFU(t, (&echo{}).serve)
	k, first := openTalk(t, s, ChatLabel, nil)
	eventually(t, "open channel", state(first, webrtc.DataChannelStateOpen))
	for range maxChannels - 1 {
		dc := k.channel(t, ChatLabel, nil)
		eventually(t, "open channel", state(dc, webrtc.DataChannelStateOpen))
		if err := dc.SendText("hello"); err != nil {
			t.Fatal(err)
		}
		k.hears(t, "re: hello")
	}
	more := k.channel(t, ChatLabel, nil)
	eventually(t, "refused channel", state(more, webrtc.DataChannelStateClosed))
	if err := first.SendText("the first goes on"); err != nil {
		t.Fatal(err)
	}
	k.hears(t, "re: the first goes on")
	for range maxOpened {
		select {
		case <-k.viewer.Done():
			return
		default:
		}
		if _, err := k.pc.CreateDataChannel("x", nil); err != nil {
			break
		}
	}
	select {
	case <-k.viewer.Done():
	case <-time.After(patience):
		t.Fatal("the session goes on")
	}
}

// TestChannelThatNeverReads sends to a peer that is gone: the queue is bounded.
func TestChannelThatNeverReads(t *testing.T) {
	full := make(chan error, 1)
	s := newChatSFU(t, func(c *Channel) {
		if _, err := c.Receive(); err != nil {
			return
		}
		frame := []byte(strings.Repeat("x", 1000))
		for range 100_000 {
			if err := c.Send(frame); err != nil {
				full <- err
				return
			}
		}
		full <- nil
	})
	k, dc := openTalk(t, s, ChatLabel, nil)
	stuck := make(chan struct{})
	var once sync.Once
	dc.OnMessage(func(webrtc.DataChannelMessage) { <-stuck }) // the reader of the peer's SCTP goes on until its window is full
	defer once.Do(func() { close(stuck) })
	eventually(t, "open channel", state(dc, webrtc.DataChannelStateOpen))
	if err := dc.SendText("go"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-full:
		if !errors.Is(err, ErrSlow) {
			t.Errorf("got %v", err)
		}
	case <-time.After(patience):
		t.Fatal("the queue is not full")
	}
	once.Do(func() { close(stuck) })
	k.viewer.Close("test")
}

func TestNoChat(t *testing.T) {
	s := newChatSFU(t, nil)
	_, dc := openTalk(t, s, ChatLabel, nil)
	eventually(t, "closed channel", state(dc, webrtc.DataChannelStateClosed))
}

// TestPeerBreaksTheMessageSize sends more than the answer allows: up to the window
// it is skipped; what never fits into it holds up nobody but its sender's chat.
func TestPeerBreaksTheMessageSize(t *testing.T) {
	e := &echo{}
	most := make(chan int, 2)
	s := newChatSFU(t, func(c *Channel) {
		most <- c.MaxFrame()
		e.serve(c)
	})
	k, dc := openTalk(t, s, ChatLabel, nil)
	eventually(t, "open channel", state(dc, webrtc.DataChannelStateOpen))
	if got := <-most; got != 1<<30-1 { // what Pion offers
		t.Errorf("the peer takes %d bytes", got)
	}
	for _, size := range []int{channelFrame + 1, sctpMessage, 3 * sctpMessage} {
		if err := dc.SendText(strings.Repeat("x", size)); err != nil {
			t.Fatal(err)
		}
		k.hears(t, "re: too long")
	}
	if err := dc.SendText(strings.Repeat("x", 4*sctpWindow)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a full window", func() bool { return dc.BufferedAmount() <= 3*sctpWindow })
	other, ch := openTalk(t, s, ChatLabel, nil)
	eventually(t, "open channel", state(ch, webrtc.DataChannelStateOpen))
	if err := ch.SendText("hello"); err != nil {
		t.Fatal(err)
	}
	other.hears(t, "re: hello")
	if waits := dc.BufferedAmount(); waits < 2*sctpWindow {
		t.Errorf("only %d bytes wait: the others were taken", waits)
	}
	if k.pc.ConnectionState() != webrtc.PeerConnectionStateConnected {
		t.Errorf("the session is %s", k.pc.ConnectionState())
	}
	other.viewer.Close("test")
	k.viewer.Close("test")
}
