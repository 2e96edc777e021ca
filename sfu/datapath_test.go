package sfu

import (
	"bytes"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"

	"github.com/sluice-live/sluice/internal/appdata"
)

// talkTo opens a chat channel from a peer and has it echoed.
func talkTo(t *testing.T, s *SFU, pc *webrtc.PeerConnection, edit func(answer string) string) *talker {
	t.Helper()
	k := &talker{pc: pc, heard: make(chan string, 64)}
	if _, err := pc.AddTransceiverFromKind(webrtc.RTPCodecTypeAudio, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
		t.Fatal(err)
	}
	dc := k.channel(t, ChatLabel, nil)
	k.open = dc
	v, err := s.Watch(t.Context(), offerWith(offerFrom(t, pc, nil)))
	if err != nil {
		t.Fatal(err)
	}
	k.viewer = v
	if v.data == nil {
		t.Fatal("the data channels are Pion's")
	}
	setAnswer(t, pc, edit(v.Answer()))
	eventually(t, "open channel", state(dc, webrtc.DataChannelStateOpen))
	for _, frame := range []string{"hello", strings.Repeat("x", channelFrame), "again"} {
		if err := dc.SendText(frame); err != nil {
			t.Fatal(err)
		}
		k.hears(t, "re: "+frame)
	}
	return k
}

// TestDataPathIsBounded has a peer send while nothing is read: what waits is bounded,
// and the newest is lost.
func TestDataPathIsBounded(t *testing.T) {
	secrets := appdata.Secrets{Master: []byte("master"), ClientRandom: make([]byte, 32), ServerRandom: make([]byte, 32)}
	d := newDataPath(slog.New(slog.DiscardHandler), nil)
	d.first = func() {}
	peer := appdata.NewConn(func(b []byte) { d.take(bytes.Clone(b), nil, func() net.Addr { return nil }) }, nil, 1)
	if err := d.Arm(secrets); err != nil {
		t.Fatal(err)
	}
	secrets.Client = true
	if err := peer.Arm(secrets); err != nil {
		t.Fatal(err)
	}
	record := make([]byte, dataMTU)
	const most = 128 << 10 // bytes
	for range 4 * most / dataMTU {
		if _, err := peer.Write(record); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	waiting := 0
	for {
		n, err := d.Read(record)
		if err != nil {
			break
		}
		waiting += n
	}
	if waiting > most || waiting < most/2 {
		t.Errorf("%d bytes wait to be read, want up to %d", waiting, most)
	}
}

// TestDataChannelEnds closes the session: the peer is told.
func TestDataChannelEnds(t *testing.T) {
	s := newChatSFU(t, (&echo{}).serve)
	k := talkTo(t, s, newPeer(t), func(answer string) string { return answer })
	k.viewer.Close("test")
	eventually(t, "closed peer", func() bool { return k.pc.ConnectionState() == webrtc.PeerConnectionStateClosed })
}

// TestDataChannelOverTCP talks over ICE-TCP, where replies go back to where the
// peer's last record came from, also to an address that Pion does not know of.
func TestDataChannelOverTCP(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", ":0"} {
		t.Run(addr, func(t *testing.T) { talkOverTCP(t, addr) })
	}
}

func talkOverTCP(t *testing.T, addr string) {
	s, err := New(Config{MediaAddr: addr, Loopback: true, Wait: true, TCP: true}, Deps{Chat: (&echo{}).serve})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	k := talkTo(t, s, tcpPeer(t), onlyTCP)
	if k.viewer.data.to.Load() != nil {
		t.Error("it goes over UDP")
	}
	k.viewer.Close("test")
}

// tcpPeer makes a client that has no UDP.
func tcpPeer(t *testing.T) *webrtc.PeerConnection {
	t.Helper()
	se := webrtc.SettingEngine{}
	se.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	se.SetIncludeLoopbackCandidate(true)
	se.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeTCP4})
	se.SetIPFilter(net.IP.IsLoopback)
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(se)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pc.GracefulClose(); err != nil {
			t.Error(err)
		}
	})
	return pc
}

// onlyTCP leaves candidates of UDP out of an answer.
func onlyTCP(answer string) string {
	var lines []string
	for _, line := range strings.SplitAfter(answer, "\r\n") {
		if !strings.HasPrefix(line, "a=candidate:") || strings.Contains(line, " tcp ") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

// TestPionCarriesData has no place of its own for data channels where the offer
// has no bundle that they are part of.
func TestPionCarriesData(t *testing.T) {
	s := newChatSFU(t, (&echo{}).serve)
	k := &talker{pc: newPeer(t), heard: make(chan string, 64)}
	dc := k.channel(t, ChatLabel, nil) // the only section is the first of the bundle
	v, err := s.Watch(t.Context(), offerWith(offerFrom(t, k.pc, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if v.data != nil {
		t.Fatal("the data channels are not Pion's")
	}
	setAnswer(t, k.pc, v.Answer())
	eventually(t, "open channel", state(dc, webrtc.DataChannelStateOpen))
	if err := dc.SendText("hello"); err != nil {
		t.Fatal(err)
	}
	k.hears(t, "re: hello")
	v.Close("test")
}

// TestCloseWithSilentTCP closes while a connection of the TCP port has sent
// nothing.
func TestCloseWithSilentTCP(t *testing.T) {
	s, err := New(Config{MediaAddr: "127.0.0.1:0", Loopback: true, TCP: true}, Deps{})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(s.MediaPort())))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }() // the other side has closed it
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("it waits for the connection")
	}
}
