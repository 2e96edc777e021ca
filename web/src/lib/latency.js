// How far the picture is behind the camera.

const SANE_MS = 15_000;
const SMOOTH = 0.1;

/**
 * Follows the frames of a video element. When the browser knows the capture
 * time of remote frames (RTCP sender reports or abs-capture-time) the latency
 * is measured; otherwise it is estimated from buffer, decoder and round trip.
 */
export class LatencyMeter {
  #video;
  #handle = 0;
  #value = 0;
  #at = 0;

  constructor(video) {
    this.#video = video;
    if (video?.requestVideoFrameCallback) this.#arm();
  }

  #arm() {
    this.#handle = this.#video.requestVideoFrameCallback((_, frame) => {
      this.#frame(frame);
      this.#arm();
    });
  }

  #frame(frame) {
    if (!frame.captureTime) return;
    const ms = frame.expectedDisplayTime - frame.captureTime;
    if (ms <= 0 || ms > SANE_MS) return;
    this.#value = this.#value ? this.#value + SMOOTH * (ms - this.#value) : ms;
    this.#at = performance.now();
  }

  /** @returns {{ms: number, measured: boolean}|null} for the given summary of InboundMeter */
  read(summary) {
    if (this.#value && performance.now() - this.#at < 3000) return {ms: this.#value, measured: true};
    const video = summary?.video;
    if (!video?.decoded) return null;
    const frame = video.fps > 0 ? 1000 / video.fps : 33;
    return {ms: (summary.rtt || 0) + video.bufferMs + video.decodeMs + frame, measured: false};
  }

  close() {
    this.#video?.cancelVideoFrameCallback?.(this.#handle);
  }
}
