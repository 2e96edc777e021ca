package client

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// relay is the smallest server that both ends can be tested against: one
// publisher, whose best layer every viewer gets unchanged.
type relay struct {
	t      *testing.T
	server *httptest.Server
	api    *webrtc.API

	mu        sync.Mutex
	refuse    int // status of the next POST to /whip; 0: accept
	offers    []string
	publisher *webrtc.PeerConnection
	viewers   map[string]*webrtc.PeerConnection
	video     *webrtc.TrackLocalStaticRTP
	audio     *webrtc.TrackLocalStaticRTP
	seen      map[string][]rtp.Packet // by rid, "audio" for sound
	ssrcs     map[string]uint32
	reports   []*rtcp.SenderReport
	deleted   []string
	layers    []Layer
	events    chan string
}

// lossy drops one video packet of twenty on the way to the viewers. What is sent
// again, on another SSRC, comes through.
type lossy struct{ interceptor.NoOp }

func (*lossy) NewInterceptor(string) (interceptor.Interceptor, error) { return &lossy{}, nil }

func (*lossy) BindLocalStream(info *interceptor.StreamInfo, w interceptor.RTPWriter) interceptor.RTPWriter {
	return interceptor.RTPWriterFunc(func(h *rtp.Header, payload []byte, a interceptor.Attributes) (int, error) {
		if info.ClockRate == 90000 && h.SSRC == info.SSRC && h.SequenceNumber%20 == 7 {
			return len(payload), nil
		}
		return w.Write(h, payload, a)
	})
}

func newRelay(t *testing.T, videoMime string, first ...interceptor.Factory) *relay {
	t.Helper()
	m := &webrtc.MediaEngine{}
	if err := m.RegisterDefaultCodecs(); err != nil {
		t.Fatal(err)
	}
	registry := &interceptor.Registry{}
	for _, f := range first {
		registry.Add(f)
	}
	if err := webrtc.ConfigureSimulcastExtensionHeaders(m); err != nil {
		t.Fatal(err)
	}
	if err := webrtc.ConfigureNack(m, registry); err != nil {
		t.Fatal(err)
	}
	var s webrtc.SettingEngine
	s.SetIncludeLoopbackCandidate(true)
	s.SetIPFilter(func(ip net.IP) bool { return ip.IsLoopback() })
	r := &relay{
		t: t, viewers: map[string]*webrtc.PeerConnection{}, seen: map[string][]rtp.Packet{},
		ssrcs: map[string]uint32{}, events: make(chan string, 8),
		api: webrtc.NewAPI(webrtc.WithMediaEngine(m), webrtc.WithInterceptorRegistry(registry), webrtc.WithSettingEngine(s)),
	}
	var err error
	r.video, err = webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: videoMime, ClockRate: 90000}, "video", "relay")
	if err != nil {
		t.Fatal(err)
	}
	r.audio, err = webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2}, "audio", "relay")
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /whip/demo", r.publish)
	mux.HandleFunc("DELETE /whip/demo/secret", r.unpublish)
	mux.HandleFunc("POST /whep/demo", r.watch)
	mux.HandleFunc("DELETE /whep/demo/{id}", r.unwatch)
	mux.HandleFunc("POST /whep/demo/{id}/layer", r.layer)
	mux.HandleFunc("POST /whep/demo/{id}/sse", func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Location", req.URL.Path+"/1")
		w.WriteHeader(http.StatusCreated)
	})
	mux.HandleFunc("GET /whep/demo/{id}/sse/1", r.stream)
	r.server = httptest.NewServer(mux)
	t.Cleanup(r.close)
	return r
}

func (r *relay) close() {
	r.mu.Lock()
	peers := []*webrtc.PeerConnection{r.publisher}
	for _, v := range r.viewers {
		peers = append(peers, v)
	}
	r.mu.Unlock()
	for _, pc := range peers {
		if pc != nil {
			_ = pc.GracefulClose()
		}
	}
	r.server.CloseClientConnections()
	r.server.Close()
}

func (r *relay) whip() string { return r.server.URL + "/whip/demo" }
func (r *relay) whep() string { return r.server.URL + "/whep/demo" }

func (r *relay) publish(w http.ResponseWriter, req *http.Request) {
	offer, _ := io.ReadAll(req.Body)
	r.mu.Lock()
	r.offers = append(r.offers, string(offer))
	refuse := r.refuse
	r.refuse = 0
	r.mu.Unlock()
	if refuse != 0 {
		w.Header().Set("Retry-After", "0")
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(refuse)
		fmt.Fprint(w, `{"type":"https://sluice.live/problems/stream-busy","title":"Conflict","detail":"somebody publishes"}`)
		return
	}
	pc, err := r.api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	pc.OnTrack(func(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
		name := track.RID()
		if track.Kind() == webrtc.RTPCodecTypeAudio {
			name = "audio"
		}
		r.mu.Lock()
		r.ssrcs[name] = uint32(track.SSRC())
		r.mu.Unlock()
		go r.readReports(receiver, track.RID())
		for {
			p, _, err := track.ReadRTP()
			if err != nil {
				return
			}
			r.forward(name, p)
		}
	})
	r.mu.Lock()
	r.publisher = pc
	r.mu.Unlock()
	r.answer(w, pc, string(offer), "/whip/demo/secret", nil)
}

func (r *relay) readReports(receiver *webrtc.RTPReceiver, rid string) {
	for {
		var packets []rtcp.Packet
		var err error
		if rid == "" {
			packets, _, err = receiver.ReadRTCP()
		} else {
			packets, _, err = receiver.ReadSimulcastRTCP(rid)
		}
		if err != nil {
			return
		}
		r.mu.Lock()
		for _, p := range packets {
			if sr, ok := p.(*rtcp.SenderReport); ok {
				r.reports = append(r.reports, sr)
			}
		}
		r.mu.Unlock()
	}
}

func (r *relay) forward(name string, p *rtp.Packet) {
	r.mu.Lock()
	r.seen[name] = append(r.seen[name], *p)
	r.mu.Unlock()
	clean := &rtp.Packet{Header: p.Header, Payload: p.Payload}
	clean.Header.Extension, clean.Header.Extensions = false, nil
	switch name {
	case "audio":
		_ = r.audio.WriteRTP(clean)
	case "", "f":
		_ = r.video.WriteRTP(clean)
	}
}

func (r *relay) answer(w http.ResponseWriter, pc *webrtc.PeerConnection, offer, location string, links []string) {
	err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer})
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	answer, err := pc.CreateAnswer(nil)
	if err == nil {
		err = pc.SetLocalDescription(answer)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	<-gathered
	for _, l := range links {
		w.Header().Add("Link", l)
	}
	w.Header().Set("Location", location)
	w.Header().Set("Content-Type", "application/sdp")
	w.WriteHeader(http.StatusCreated)
	fmt.Fprint(w, pc.LocalDescription().SDP)
}

func (r *relay) unpublish(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	pc := r.publisher
	r.publisher = nil
	r.deleted = append(r.deleted, req.URL.Path)
	r.mu.Unlock()
	if pc != nil {
		_ = pc.GracefulClose()
	}
}

func (r *relay) watch(w http.ResponseWriter, req *http.Request) {
	offer, _ := io.ReadAll(req.Body)
	pc, err := r.api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	for _, t := range []webrtc.TrackLocal{r.audio, r.video} {
		sender, err := pc.AddTrack(t)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		go func() {
			buffer := make([]byte, 1500)
			for {
				if _, _, err := sender.Read(buffer); err != nil {
					return
				}
			}
		}()
	}
	r.mu.Lock()
	id := fmt.Sprint(len(r.viewers))
	r.viewers[id] = pc
	r.mu.Unlock()
	self := "/whep/demo/" + id
	r.answer(w, pc, string(offer), self, []string{
		`<` + self + `/sse>; rel="` + relEvents + `"; events="active,inactive"`,
		`<` + self + `/layer>; rel="` + relLayer + `", <stun:example.org>; rel="ice-server"`,
	})
}

func (r *relay) unwatch(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	pc := r.viewers[req.PathValue("id")]
	delete(r.viewers, req.PathValue("id"))
	r.deleted = append(r.deleted, req.URL.Path)
	r.mu.Unlock()
	if pc == nil {
		http.NotFound(w, req)
		return
	}
	_ = pc.GracefulClose()
}

func (r *relay) layer(w http.ResponseWriter, req *http.Request) {
	var l Layer
	if err := json.NewDecoder(req.Body).Decode(&l); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	r.layers = append(r.layers, l)
	r.mu.Unlock()
	if l.RID == "unknown" {
		http.Error(w, "unknown rid", http.StatusUnprocessableEntity)
	}
}

func (r *relay) stream(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	w.(http.Flusher).Flush()
	for {
		select {
		case e := <-r.events:
			fmt.Fprint(w, e)
			w.(http.Flusher).Flush()
		case <-req.Context().Done():
			return
		}
	}
}

func (r *relay) packets(name string) []rtp.Packet {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen[name]
}
