// Which moment a picture of a WebRTC stream was captured at.

const NTP_EPOCH_MS = 2_208_988_800_000; // Unix epoch in milliseconds since 1900
const SMOOTH = 0.2; // weight of the newest reading
const LONGEST_MS = 1000; // between two pictures of a stream that runs
const STALE_MS = 300; // since the last picture
const JUMP_MS = 400; // readings this far off replace the old ones
const CONFIRM = 4; // when so many agree: a new connection has no sender report yet

/**
 * Maps what a video element shows to capture time, in milliseconds of the Unix
 * epoch by the server's clock: the one of EXT-X-PROGRAM-DATE-TIME. The server's
 * sender reports carry it; the browser applies them to what it plays.
 */
export class CaptureClock {
  #video;
  #handle = 0;
  #offset = null; // capture time minus our time of showing
  #onFrame;
  #odd = 0; // readings far off, in a row

  constructor(video, onFrame = () => {}) {
    this.#video = video;
    this.#onFrame = onFrame;
    this.shownAt = 0; // of the last picture, performance.now
    this.frames = 0;
    this.interval = 0; // between pictures, smoothed, in milliseconds
    this.#arm();
  }

  #arm() {
    if (!this.#video.requestVideoFrameCallback) return;
    this.#handle = this.#video.requestVideoFrameCallback((now) => {
      const took = now - this.shownAt;
      if (this.frames++ && took < LONGEST_MS) this.interval += SMOOTH * (took - this.interval);
      this.shownAt = now;
      this.#arm();
      this.#onFrame(now);
    });
  }

  /** Takes a RTCStatsReport. While no pictures come, it says nothing about time. */
  update(report) {
    if (performance.now() - this.shownAt > STALE_MS) return;
    for (const s of report.values()) {
      if (s.type === 'inbound-rtp' && s.kind === 'video') this.#read(s);
    }
  }

  #read({estimatedPlayoutTimestamp: played, timestamp}) {
    if (!played || !timestamp) return;
    // Browsers differ in the epoch.
    const capture = played > timestamp + NTP_EPOCH_MS / 2 ? played - NTP_EPOCH_MS : played;
    const offset = capture - timestamp;
    const off = this.#offset === null ? 0 : Math.abs(offset - this.#offset);
    this.#odd = off > JUMP_MS ? this.#odd + 1 : 0;
    if (this.#offset === null || this.#odd >= CONFIRM) this.#offset = offset;
    else if (!this.#odd) this.#offset += SMOOTH * (offset - this.#offset);
  }

  /** Capture time of the last picture, or null while it is unknown. */
  get capture() {
    if (this.#offset === null || !this.shownAt) return null;
    return performance.timeOrigin + this.shownAt + this.#offset;
  }

  /** Capture time of what would be shown at this moment, or null. */
  get now() {
    return this.#offset === null ? null : performance.timeOrigin + performance.now() + this.#offset;
  }

  /** Forgets the mapping: another session, perhaps another server. */
  reset() {
    this.#offset = null;
    this.frames = 0;
    this.shownAt = 0;
  }

  close() {
    this.#video.cancelVideoFrameCallback?.(this.#handle);
  }
}
