// What a publisher's peer connection sends, from getStats.

/** Turns successive RTCStatsReports into rates. One for each peer connection. */
export class OutboundMeter {
  #last = new Map();

  /** @returns summary of the time since the previous call */
  update(report) {
    const out = {layers: [], audio: null, bitrate: 0, rtt: null, loss: 0, limit: '', codec: '', available: 0, nacks: 0, plis: 0};
    for (const s of report.values()) {
      if (s.type === 'outbound-rtp') this.#sent(s, report, out);
      if (s.type === 'remote-inbound-rtp') out.loss = Math.max(out.loss, s.fractionLost || 0);
      if (s.type === 'candidate-pair' && (s.nominated || s.selected) && s.state === 'succeeded') {
        out.rtt = s.currentRoundTripTime === undefined ? null : s.currentRoundTripTime * 1000;
        out.available = s.availableOutgoingBitrate || 0;
      }
    }
    out.layers.sort((a, b) => b.height - a.height || b.rid.localeCompare(a.rid));
    return out;
  }

  #sent(s, report, out) {
    const was = this.#last.get(s.id);
    this.#last.set(s.id, s);
    const seconds = was ? (s.timestamp - was.timestamp) / 1000 : 0;
    const bitrate = seconds > 0 ? (8 * (s.bytesSent - was.bytesSent)) / seconds : 0;
    out.bitrate += bitrate;
    if (s.kind === 'audio') {
      out.audio = {bitrate};
      return;
    }
    out.nacks += s.nackCount || 0;
    out.plis += s.pliCount || 0;
    out.codec = (report.get(s.codecId)?.mimeType || '').split('/')[1] || out.codec;
    const limit = s.qualityLimitationReason || '';
    if (limit === 'cpu' || limit === 'bandwidth') out.limit = limit;
    out.layers.push({
      rid: s.rid || '',
      width: s.frameWidth || 0,
      height: s.frameHeight || 0,
      fps: s.framesPerSecond || 0,
      bitrate,
      active: s.active !== false && bitrate > 0,
      limit,
    });
  }

  /** "good", "fair" or "poor", with the reason: "", "loss", "rtt", "cpu", "bandwidth". */
  static health({loss, rtt, limit}) {
    if (loss > 0.05) return {level: 'poor', reason: 'loss'};
    if (loss > 0.015) return {level: 'fair', reason: 'loss'};
    if (rtt > 400) return {level: 'fair', reason: 'rtt'};
    if (limit) return {level: 'fair', reason: limit};
    return {level: 'good', reason: ''};
  }
}
