//go:build linux

package e2e

import (
	"io"
	"net/http"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/sluice-live/sluice/e2e/netwire"
	"github.com/sluice-live/sluice/internal/client"
	"github.com/sluice-live/sluice/internal/client/clips"
)

// total reads a counter of a node's metrics.
func (r *running) total(t testing.TB, name string) float64 {
	t.Helper()
	resp, err := http.Get(r.Ops + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^` + name + `(?:\{[^}]*\})? (\S+)$`).FindSubmatch(text)
	if found == nil {
		t.Fatalf("no metric %s", name)
	}
	value, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// watching watches without asking for lost packets again, so that only repair
// packets help.
const watching = `
	const pc = new RTCPeerConnection();
	pc.addTransceiver('video', {direction: 'recvonly'});
	const video = document.createElement('video');
	video.muted = true; video.autoplay = true;
	document.body.append(video);
	pc.ontrack = (e) => { video.srcObject = new MediaStream([e.track]); };
	const offer = await pc.createOffer();
	await pc.setLocalDescription({type: 'offer', sdp: offer.sdp.replace(/a=rtcp-fb:\d+ nack\r\n/g, '')});
	if (pc.iceGatheringState !== 'complete') await new Promise((done) => {
		pc.onicegatheringstatechange = () => pc.iceGatheringState === 'complete' && done();
	});
	const answer = await fetch('/whep/demo', {method: 'POST', headers: {'Content-Type': 'application/sdp'}, body: pc.localDescription.sdp});
	await pc.setRemoteDescription({type: 'answer', sdp: await answer.text()});
`

// TestRepairPacketsForAViewer: a browser on a path with losses gets repair packets
// within their share of the video, and makes lost packets again. Another one beside
// it, of a node that makes none, shows what they are worth.
func TestRepairPacketsForAViewer(t *testing.T) {
	t.Parallel()
	wire := openWire(t, netwire.Settings{Delay: oneWay})
	var nodes [2]*running // without and with repair packets
	var pages [2]*tab
	see := func(i int) sight { return eval[sight](pages[i], "window.seen.read()") }
	for i := range nodes {
		nodes[i] = nodeOn(t, wire, "media.flexfec="+strconv.FormatBool(i == 1))
		publishClip(t, client.PublisherConfig{URL: nodes[i].URL + "/whip/demo", Clip: pattern(t, clips.H264, false), KeyframesOnRequest: true})
		nodes[i].live(t, "demo", 1)
		pages[i] = farBrowser(t, wire)
		pages[i].open(nodes[i].URL + "/")
		pages[i].exec(watching)
		poll(t, patience, 100*time.Millisecond, "the picture plays", func() bool { return see(i).Decoded > 30 })
	}
	wire.Set(netwire.Settings{Delay: oneWay, Loss: 0.03})
	for _, n := range nodes {
		poll(t, patience, 100*time.Millisecond, "loss is reported", func() bool {
			v, err := viewerOf(t.Context(), n, "demo")
			return err == nil && v.Loss > 0
		})
	}
	before := [2]sight{see(0), see(1)}
	var after [2]sight
	decoded := func(i int) int { return after[i].Decoded - before[i].Decoded }
	poll(t, patience, 100*time.Millisecond, "more pictures with repair packets", func() bool { // by how many depends on which packets are lost
		after = [2]sight{see(0), see(1)}
		return decoded(0) > 50 && decoded(1) > decoded(0)
	})
	for i, n := range nodes {
		repairs, media := after[i].FEC-before[i].FEC, after[i].Packets-before[i].Packets
		t.Logf("%d repair packets beside %d of video, of which %d were lost; %d frames", repairs, media, after[i].Lost-before[i].Lost, decoded(i))
		if i == 1 != (repairs > 0) || repairs > media/4 {
			t.Errorf("%d repair packets beside %d of video", repairs, media)
		}
		if i == 1 != (n.total(t, "sluice_repair_packets_total") > 0) {
			t.Error("the node counts other repair packets")
		}
	}
}

// publishing publishes a drawn picture without layers.
const publishing = `
	const canvas = document.createElement('canvas');
	canvas.width = 640; canvas.height = 360;
	const draw = canvas.getContext('2d');
	setInterval(() => {
		for (let i = 0; i < 60; i++) {
			draw.fillStyle = 'rgb(' + [0, 0, 0].map(() => Math.floor(256 * Math.random())) + ')';
			draw.fillRect(640 * Math.random(), 360 * Math.random(), 80, 80);
		}
	}, 33);
	const pc = new RTCPeerConnection();
	window.publishing = pc;
	pc.addTransceiver(canvas.captureStream(30).getVideoTracks()[0], {direction: 'sendonly'});
	await pc.setLocalDescription();
	if (pc.iceGatheringState !== 'complete') await new Promise((done) => {
		pc.onicegatheringstatechange = () => pc.iceGatheringState === 'complete' && done();
	});
	const answer = await fetch('/whip/demo', {method: 'POST', headers: {'Content-Type': 'application/sdp'}, body: pc.localDescription.sdp});
	await pc.setRemoteDescription({type: 'answer', sdp: await answer.text()});
`

// TestRepairPacketsOfAPublisher: what a browser's video loses on its way here is
// made again from its repair packets.
func TestRepairPacketsOfAPublisher(t *testing.T) {
	t.Parallel()
	wire := openWire(t, netwire.Settings{Delay: oneWay, Loss: 0.05})
	n := nodeOn(t, wire, "media.flexfec=true")
	b := farBrowser(t, wire, chromedp.Flag("force-fieldtrials", "WebRTC-FlexFEC-03-Advertised/Enabled/WebRTC-FlexFEC-03/Enabled/"))
	b.open(n.URL + "/")
	b.exec(publishing)
	n.live(t, "demo", 1)
	poll(t, patience, 500*time.Millisecond, "packets are made again", func() bool { return n.total(t, "sluice_rtp_restored_total") > 20 })
	t.Logf("%.0f packets made again, %.0f malformed or late", n.total(t, "sluice_rtp_restored_total"), n.total(t, `sluice_rtp_dropped_total`))
}
