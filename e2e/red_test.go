//go:build linux

package e2e

import (
	"testing"
	"time"

	"github.com/sluice-live/sluice/e2e/netwire"
)

// talking publishes a tone, as RED when the server agrees.
const talking = `
	const context = new AudioContext();
	const tone = context.createOscillator(), out = context.createMediaStreamDestination();
	tone.connect(out);
	tone.start();
	const pc = new RTCPeerConnection();
	window.publishing = pc;
	const transceiver = pc.addTransceiver(out.stream.getAudioTracks()[0], {direction: 'sendonly'});
	const {codecs} = RTCRtpSender.getCapabilities('audio');
	transceiver.setCodecPreferences(['audio/red', 'audio/opus'].flatMap((type) => codecs.filter((c) => c.mimeType === type)));
	await pc.setLocalDescription();
	if (pc.iceGatheringState !== 'complete') await new Promise((done) => {
		pc.onicegatheringstatechange = () => pc.iceGatheringState === 'complete' && done();
	});
	const answer = await fetch('/whip/demo', {method: 'POST', headers: {'Content-Type': 'application/sdp'}, body: pc.localDescription.sdp});
	await pc.setRemoteDescription({type: 'answer', sdp: await answer.text()});
`

// TestSoundOfAPublisherIsRestored: frames of a browser's sound that get lost on
// their way here come out of the RED that it sends.
func TestSoundOfAPublisherIsRestored(t *testing.T) {
	t.Parallel()
	wire := openWire(t, netwire.Settings{Delay: oneWay, Loss: 0.1})
	n := nodeOn(t, wire)
	b := farBrowser(t, wire)
	b.open(n.URL + "/")
	b.exec(talking)
	poll(t, patience, 500*time.Millisecond, "frames are restored", func() bool { return n.total(t, "sluice_rtp_restored_total") > 30 })
}
