package e2e

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/pion/webrtc/v4"

	"github.com/sluice-live/sluice/internal/client"
	"github.com/sluice-live/sluice/internal/client/clips"
	"github.com/sluice-live/sluice/internal/wish"
)

// reply is an HTTP response with its body.
type reply struct {
	status int
	header http.Header
	body   string
}

// patcher is a WHEP viewer that gathers after its POST, as pages do.
type patcher struct {
	t       testing.TB
	http    *http.Client
	pc      *webrtc.PeerConnection
	packets atomic.Uint64
	session string
	etag    string
	answer  string
}

func (p *patcher) send(method, url, contentType, body string) reply {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("If-Match", p.etag)
	resp, err := p.http.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return reply{status: resp.StatusCode, header: resp.Header, body: string(b)}
}

// offer makes the local description with the candidates left out, and returns
// it along with a fragment that holds them.
func (p *patcher) offer(options *webrtc.OfferOptions) (offer, fragment string) {
	p.t.Helper()
	gathered := webrtc.GatheringCompletePromise(p.pc)
	o, err := p.pc.CreateOffer(options)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.pc.SetLocalDescription(o); err != nil {
		p.t.Fatal(err)
	}
	<-gathered
	var kept, frag strings.Builder
	head := map[string]bool{}
	for line := range strings.Lines(p.pc.LocalDescription().SDP) {
		switch {
		case strings.HasPrefix(line, "a=ice-ufrag:"), strings.HasPrefix(line, "a=ice-pwd:"), strings.HasPrefix(line, "a=candidate:"):
			if !head[line] {
				frag.WriteString(line)
			}
			head[line] = true
		}
		if !strings.HasPrefix(line, "a=candidate:") && !strings.HasPrefix(line, "a=end-of-candidates") {
			kept.WriteString(line)
		}
	}
	return kept.String(), frag.String() + "a=end-of-candidates\r\n"
}

func (p *patcher) accept(sdp string) {
	p.t.Helper()
	if err := p.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: sdp}); err != nil {
		p.t.Fatal(err)
	}
}

func (p *patcher) flowing(what string) {
	p.t.Helper()
	from := p.packets.Load()
	within(p.t, patience, what, func() bool { return p.packets.Load() > from+50 })
}

// replaceICE puts the parameters of a restart into an answer.
func replaceICE(answer, ufrag, pwd string, candidates []string) string {
	var b strings.Builder
	for line := range strings.Lines(answer) {
		switch {
		case strings.HasPrefix(line, "a=ice-ufrag:"):
			b.WriteString("a=ice-ufrag:" + ufrag + "\r\n")
		case strings.HasPrefix(line, "a=ice-pwd:"):
			b.WriteString("a=ice-pwd:" + pwd + "\r\n")
			for _, c := range candidates {
				b.WriteString("a=" + c + "\r\n")
			}
		case strings.HasPrefix(line, "a=candidate:"), strings.HasPrefix(line, "a=end-of-candidates"):
		default:
			b.WriteString(line)
		}
	}
	return b.String()
}

// TestPatch trickles candidates, restarts ICE and ends a session with a real
// peer connection, and media flows all the while.
func TestPatch(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	publishClip(t, client.PublisherConfig{URL: n.URL + "/whip/demo", Clip: pattern(t, clips.H264, true)})
	patchSession(t, n.URL)
}

// patchSession does so with a session of the stream demo.
func patchSession(t *testing.T, base string) {
	t.Helper()
	p := &patcher{t: t, http: clientHTTP(t)}
	pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.GracefulClose() })
	p.pc = pc
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		for {
			if _, _, err := track.ReadRTP(); err != nil {
				return
			}
			p.packets.Add(1)
		}
	})
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
		if _, err := pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			t.Fatal(err)
		}
	}

	offer, fragment := p.offer(nil)
	var r reply
	within(t, patience, "the stream is live", func() bool {
		r = p.send(http.MethodPost, base+"/whep/demo", wish.SDPType, offer)
		return r.status != http.StatusConflict && r.status != http.StatusServiceUnavailable
	})
	if r.status != http.StatusCreated {
		t.Fatalf("POST: %d %s", r.status, r.body)
	}
	p.session, p.etag, p.answer = base+r.header.Get("Location"), r.header.Get("ETag"), r.body
	if r = p.send(http.MethodPatch, p.session, wish.FragmentType, fragment); r.status != http.StatusNoContent {
		t.Fatalf("trickle: %d %s", r.status, r.body)
	}
	p.accept(p.answer)
	p.flowing("media after the trickle")

	_, fragment = p.offer(&webrtc.OfferOptions{ICERestart: true})
	first := p.etag
	p.etag = `"*"`
	r = p.send(http.MethodPatch, p.session, wish.FragmentType, fragment)
	if r.status != http.StatusOK || r.header.Get("ETag") == first {
		t.Fatalf("restart: %d %s", r.status, r.body)
	}
	ice, err := wish.ParseFragment(r.body, wish.DefaultLimits())
	if err != nil || len(ice.Candidates) == 0 || strings.Contains(p.answer, "a=ice-ufrag:"+ice.Ufrag+"\r\n") {
		t.Fatalf("%v: %s", err, r.body)
	}
	p.accept(replaceICE(p.answer, ice.Ufrag, ice.Pwd, ice.Candidates))
	p.flowing("media after the restart")
	within(t, patience, "connected again", func() bool { return pc.ICEConnectionState() == webrtc.ICEConnectionStateConnected })
	p.flowing("media when connected again")

	p.etag = first
	if r = p.send(http.MethodPatch, p.session, wish.FragmentType, fragment); r.status != http.StatusPreconditionFailed {
		t.Errorf("PATCH with the first entity-tag: %d", r.status)
	}
	for _, want := range []int{http.StatusOK, http.StatusNotFound} {
		if r = p.send(http.MethodDelete, p.session, "", ""); r.status != want {
			t.Errorf("DELETE: %d, want %d", r.status, want)
		}
	}
}
