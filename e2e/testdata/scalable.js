// A publisher and a viewer with peer connections of their own, for codecs and
// modes of scalability that the pages do not choose.
window.scalable = {
  async exchange(url, pc) {
    await pc.setLocalDescription(await pc.createOffer());
    await new Promise((done) => {
      if (pc.iceGatheringState === 'complete') done();
      pc.addEventListener('icegatheringstatechange', () => pc.iceGatheringState === 'complete' && done());
    });
    const response = await fetch(url, {method: 'POST', body: pc.localDescription.sdp, headers: {'Content-Type': 'application/sdp'}});
    if (!response.ok) throw new Error(await response.text());
    await pc.setRemoteDescription({type: 'answer', sdp: await response.text()});
    return response;
  },

  // The dependency descriptor is offered only when asked for.
  extend(transceiver, yes) {
    const wanted = transceiver.getHeaderExtensionsToNegotiate();
    for (const e of wanted) if (e.uri.includes('dependency-descriptor')) e.direction = yes ? 'sendrecv' : 'stopped';
    transceiver.setHeaderExtensionsToNegotiate(wanted);
  },

  async publish(url, codec, encodings, width, height) {
    const stream = await navigator.mediaDevices.getUserMedia({video: {width, height, frameRate: 30}});
    const pc = this.out = new RTCPeerConnection();
    const transceiver = pc.addTransceiver(stream.getVideoTracks()[0], {direction: 'sendonly', sendEncodings: encodings});
    const codecs = RTCRtpSender.getCapabilities('video').codecs;
    transceiver.setCodecPreferences(codecs.filter((c) => c.mimeType === 'video/' + codec).slice(0, 1).concat(codecs.filter((c) => c.mimeType === 'video/rtx')));
    this.extend(transceiver, true);
    await this.exchange(url, pc);
  },

  async watch(url, descriptor) {
    const pc = this.in = new RTCPeerConnection();
    const transceiver = pc.addTransceiver('video', {direction: 'recvonly'});
    this.extend(transceiver, descriptor);
    const video = this.video = document.createElement('video');
    video.muted = video.autoplay = true;
    pc.ontrack = (e) => { video.srcObject = new MediaStream([e.track]); };
    document.body.append(video);
    const response = await this.exchange(url, pc);
    const link = response.headers.get('Link').split(/,\s*(?=<)/).find((l) => l.includes('core:layer'));
    this.layer = new URL(/<([^>]*)>/.exec(link)[1], url).href;
  },

  async choose(body) {
    const response = await fetch(this.layer, {method: 'POST', body: JSON.stringify(body), headers: {'Content-Type': 'application/json'}});
    if (!response.ok) throw new Error(await response.text());
  },

  async stats() {
    const out = {decoded: 0, encoded: 0, width: 0, fps: 0, freezes: 0, frozen: 0, plis: 0, nacks: 0, lost: 0, sent: '', at: performance.now() / 1000};
    for (const s of (await this.in.getStats()).values()) {
      if (s.type === 'inbound-rtp') Object.assign(out, {
        decoded: s.framesDecoded || 0, width: s.frameWidth || 0, fps: s.framesPerSecond || 0, freezes: s.freezeCount || 0, received: s.framesReceived || 0,
        frozen: s.totalFreezesDuration || 0, plis: s.pliCount, nacks: s.nackCount, lost: s.packetsLost, dropped: s.framesDropped || 0, packets: s.packetsReceived,
      });
    }
    for (const s of (await this.out.getStats()).values()) {
      if (s.type !== 'outbound-rtp') continue;
      out.encoded = Math.max(out.encoded, s.framesEncoded || 0);
      out.sent += `${s.rid || ''} ${s.scalabilityMode} ${s.frameWidth}x${s.frameHeight}@${s.framesPerSecond}; `;
    }
    return out;
  },
};
