// How far the picture is behind the camera.

const SANE_MS = 15_000;
const SMOOTH = 0.3; // weight of the newest second
const NTP_EPOCH_MS = 2_208_988_800_000; // Unix epoch in milliseconds since 1900
const FRAME_MS = 33;

/**
 * The server's sender reports say which of its times a picture was captured
 * at; what plays now, in those times, gives the measured latency. Without
 * reports it is estimated from buffer, decoder and round trip.
 */
export class LatencyMeter {
  #video;
  #handle = 0;
  #display = 0; // from hand-over to the screen
  #value = 0;

  constructor(video) {
    this.#video = video;
    if (video?.requestVideoFrameCallback) this.#arm();
  }

  #arm() {
    this.#handle = this.#video.requestVideoFrameCallback((_, frame) => {
      this.#display += 0.1 * (Math.max(0, frame.expectedDisplayTime - frame.presentationTime) - this.#display);
      this.#arm();
    });
  }

  /**
   * @param {RTCStatsReport} report
   * @param {object} summary of InboundMeter
   * @returns {{ms: number, measured: boolean}|null}
   */
  read(report, summary) {
    const video = summary?.video;
    if (!video?.decoded) return null;
    const sample = playout(report, summary.rtt || 0);
    const measured = sample !== null;
    const ms = measured ? sample + this.#display : estimate(video, summary.rtt || 0);
    this.#value = this.#value ? this.#value + SMOOTH * (ms - this.#value) : ms;
    return {ms: this.#value, measured};
  }

  /** Forgets the past: another picture plays. */
  reset() {
    this.#value = 0;
  }

  close() {
    this.#video?.cancelVideoFrameCallback?.(this.#handle);
  }
}

/** Milliseconds from capture to playout by the server's clock, or null. */
function playout(report, rtt) {
  let inbound = null;
  let sender = null;
  for (const s of report.values()) {
    if (s.kind === 'video' && s.type === 'inbound-rtp') inbound = s;
    if (s.kind === 'video' && s.type === 'remote-outbound-rtp') sender = s;
  }
  if (!inbound?.estimatedPlayoutTimestamp || !sender?.remoteTimestamp) return null;
  let played = inbound.estimatedPlayoutTimestamp;
  if (played > NTP_EPOCH_MS + sender.remoteTimestamp / 2) played -= NTP_EPOCH_MS;
  const now = sender.remoteTimestamp + (inbound.timestamp - sender.timestamp) + rtt / 2;
  const ms = now - played;
  return ms > 0 && ms < SANE_MS ? ms : null;
}

function estimate(video, rtt) {
  const frame = video.fps > 0 ? 1000 / video.fps : FRAME_MS;
  return rtt + video.bufferMs + video.decodeMs + frame;
}
