package sfu

import (
	"context"
	"encoding/binary"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/sfu/internal/red"
)

// TestSoundOverLossyPaths has two viewers lose the same part of their sound: the one
// that takes RED (RFC 2198) is left with far fewer holes.
func TestSoundOverLossyPaths(t *testing.T) {
	s, v := newVirtual(t)
	t.Parallel()
	v.speak(s, virtualClients()[0])
	eventually(t, "live stream", func() bool {
		st, _ := s.Stream("demo")
		return st.State == sluice.StreamLive && st.Audio != nil
	})
	takes, plain := v.listen(s, virtualClients()[1], true), v.listen(s, virtualClients()[2], false)
	for _, e := range []*ear{takes, plain} {
		eventually(t, "sound", func() bool { n, _, _ := e.count(); return n > 20 })
	}
	for _, ip := range virtualClients()[1:] {
		v.setAt(ip, harm{loss: 0.15})
	}
	eventually(t, "redundancy", func() bool { _, _, redundant := takes.count(); return redundant })
	takes.forget()
	plain.forget()
	for _, e := range []*ear{takes, plain} {
		eventually(t, "sound", func() bool { n, _, _ := e.count(); return n > 400 })
	}
	n, holes, _ := takes.count()
	others, more, redundant := plain.count()
	t.Logf("%d holes in %d frames with RED, %d in %d without", holes, n, more, others)
	if redundant {
		t.Error("a viewer gets RED that did not offer it")
	}
	if more*n < others*n/20 || 4*holes*others > more*n {
		t.Error("RED does not help enough")
	}
}

// speak publishes frames of sound, each with its number, until the test ends.
func (v *virtual) speak(s *SFU, ip string) {
	v.t.Helper()
	_, track, _, p := v.sends(s, ip, webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2})
	ctx, stop := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond) // four times as fast as it is
		defer tick.Stop()
		for n := uint32(0); ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			payload := append(binary.BigEndian.AppendUint32(nil, n), make([]byte, 40)...)
			if track.WriteRTP(&rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: uint16(n), Timestamp: n * frameTicks}, Payload: payload}) != nil {
				return
			}
		}
	})
	v.t.Cleanup(func() { p.Close("end of test"); stop(); done.Wait() })
}

// ear is a viewer that notes which frames of sound it has.
type ear struct {
	mu        sync.Mutex
	heard     map[uint32]bool
	first     uint32
	last      uint32
	redundant bool
}

// take notes a frame. mu is held.
func (e *ear) take(frame []byte) {
	n := binary.BigEndian.Uint32(frame)
	if len(e.heard) == 0 {
		e.first, e.last = n, n
	}
	e.heard[n] = true
	e.last = max(e.last, n)
}

// count returns how many frames there were, how many of them are missing, and
// whether some came by redundancy. The newest may still come.
func (e *ear) count() (frames, holes int, redundant bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for n := e.first; n+red.MaxBlocks < e.last; n++ {
		frames++
		if !e.heard[n] {
			holes++
		}
	}
	return frames, holes, e.redundant
}

// forget begins anew.
func (e *ear) forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	clear(e.heard)
	e.first, e.last = 0, 0
}

// listen watches only the sound, with RED or without.
func (v *virtual) listen(s *SFU, ip string, repeats bool) *ear {
	v.t.Helper()
	e := &ear{heard: map[uint32]bool{}}
	pc := v.peer(ip)
	transceiver, err := pc.AddTransceiverFromKind(webrtc.RTPCodecTypeAudio, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
	if err == nil {
		opus := webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2, SDPFmtpLine: "minptime=10;useinbandfec=1"}
		codecs := []webrtc.RTPCodecParameters{{RTPCodecCapability: opus, PayloadType: testOpus}}
		if repeats {
			codecs = append(codecs, redOfOpus())
		}
		err = transceiver.SetCodecPreferences(codecs)
	}
	if err != nil {
		v.t.Fatal(err)
	}
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		for {
			p, _, err := track.ReadRTP()
			if err != nil {
				return
			}
			e.packet(p)
		}
	})
	viewer, err := s.Watch(v.t.Context(), offerFromAt(v.t, pc, ip))
	if err != nil {
		v.t.Fatal(err)
	}
	setAnswer(v.t, pc, viewer.Answer())
	return e
}

func redOfOpus() webrtc.RTPCodecParameters {
	capability := webrtc.RTPCodecCapability{MimeType: "audio/red", ClockRate: 48000, Channels: 2, SDPFmtpLine: "111/111"}
	return webrtc.RTPCodecParameters{RTPCodecCapability: capability, PayloadType: testRED}
}

func (e *ear) packet(p *rtp.Packet) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if p.PayloadType != testRED {
		e.take(p.Payload)
		return
	}
	var blocks [red.MaxBlocks]red.Block
	n, _ := red.Parse(p.Payload, &blocks)
	for _, b := range blocks[:n] {
		e.take(b.Data)
	}
	e.redundant = true
}

// setAt harms the path of one client from now on.
func (v *virtual) setAt(ip string, h harm) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for from, w := range v.clients {
		if host, _, err := net.SplitHostPort(from); err == nil && host == ip {
			w.mu.Lock()
			w.harm = h
			w.mu.Unlock()
		}
	}
}
