// What a viewer's peer connection receives, from getStats.

/** Turns successive RTCStatsReports into rates. One for each peer connection. */
export class InboundMeter {
  #last = new Map();

  /** @returns summary of the time since the previous call */
  update(report) {
    const out = {video: null, audio: null, rtt: null, transport: '', available: 0, packets: 0};
    for (const s of report.values()) {
      if (s.type === 'inbound-rtp') {
        out[s.kind] = this.#track(s, report);
        if (s.kind === 'video') out.packets = s.packetsReceived || 0;
      } else if (s.type === 'candidate-pair' && (s.nominated || s.selected) && s.state === 'succeeded') {
        this.#pair(s, report, out);
      }
    }
    if (!out.packets && out.audio) out.packets = out.audio.packets;
    return out;
  }

  #pair(s, report, out) {
    out.rtt = s.currentRoundTripTime === undefined ? null : s.currentRoundTripTime * 1000;
    out.available = s.availableIncomingBitrate || 0;
    const local = report.get(s.localCandidateId);
    if (local) out.transport = `${(local.relayProtocol || local.protocol || '').toUpperCase()} ${local.candidateType}`;
  }

  #track(s, report) {
    const was = this.#last.get(s.id) || {};
    this.#last.set(s.id, s);
    const delta = (key) => (s[key] || 0) - (was[key] || 0);
    const seconds = was.timestamp ? (s.timestamp - was.timestamp) / 1000 : 0;
    const received = delta('packetsReceived');
    const lost = Math.max(0, delta('packetsLost'));
    const emitted = delta('jitterBufferEmittedCount');
    const decoded = delta('framesDecoded');
    return {
      codec: (report.get(s.codecId)?.mimeType || '').split('/')[1] || '',
      bitrate: seconds > 0 ? (8 * delta('bytesReceived')) / seconds : 0,
      packets: s.packetsReceived || 0,
      lost: s.packetsLost || 0,
      loss: received + lost > 0 ? lost / (received + lost) : 0,
      jitterMs: (s.jitter || 0) * 1000,
      bufferMs: emitted > 0 ? (1000 * delta('jitterBufferDelay')) / emitted : 0,
      decodeMs: decoded > 0 ? (1000 * delta('totalDecodeTime')) / decoded : 0,
      width: s.frameWidth || 0,
      height: s.frameHeight || 0,
      fps: s.framesPerSecond || 0,
      decoded: s.framesDecoded || 0,
      keyframes: s.keyFramesDecoded || 0,
      dropped: s.framesDropped || 0,
      freezes: s.freezeCount || 0,
      nacks: s.nackCount || 0,
      plis: s.pliCount || 0,
      concealed: s.concealedSamples || 0,
    };
  }
}
