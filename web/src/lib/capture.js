// Which moment a picture of a WebRTC stream was captured at.

const NTP_EPOCH_MS = 2_208_988_800_000; // Unix epoch in milliseconds since 1900
const TICKS_PER_MS = 90; // of RTP timestamps of video
const SMOOTH = 0.2; // weight of the newest reading
const LONGEST_MS = 1000; // between two pictures of a stream that runs
const STALE_MS = 300; // since the last picture
const JUMP_MS = 400; // readings this far off replace the old ones
const CONFIRM = 4; // when so many follow each other: a new connection has no sender report yet

/** A value read again and again, now and then wrongly. */
class Steady {
  #odd = 0; // readings far off, in a row

  constructor() {
    this.value = null;
  }

  read(value) {
    const off = this.value === null ? 0 : value - this.value;
    this.#odd = Math.abs(off) > JUMP_MS ? this.#odd + 1 : 0;
    if (this.value === null || this.#odd >= CONFIRM) this.value = value;
    else if (!this.#odd) this.value += SMOOTH * off;
  }
}

/**
 * Maps what a video element shows to capture time, in milliseconds of the Unix
 * epoch by the server's clock: the one of EXT-X-PROGRAM-DATE-TIME. The server's
 * sender reports carry it; the browser applies them to what it plays. Each picture
 * is known by its RTP timestamp where the browser tells, so that those which are
 * repaired late have their true time.
 */
export class CaptureClock {
  #video;
  #handle = 0;
  #rtp = null; // of the last picture, in milliseconds, without wrap
  #fromRtp = new Steady(); // capture time minus #rtp
  #fromShown = new Steady(); // capture time minus our time of showing
  #onFrame;

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
    this.#handle = this.#video.requestVideoFrameCallback((now, frame) => {
      const took = now - this.shownAt;
      if (this.frames++ && took < LONGEST_MS) this.interval += SMOOTH * (took - this.interval);
      this.shownAt = now;
      this.#tell(frame?.rtpTimestamp);
      this.#arm();
      this.#onFrame(now, took);
    });
  }

  #tell(ticks) {
    if (ticks === undefined) this.#rtp = null;
    else if (this.#rtp === null) this.#rtp = ticks / TICKS_PER_MS;
    else this.#rtp += ((ticks - Math.round(this.#rtp * TICKS_PER_MS)) | 0) / TICKS_PER_MS;
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
    this.#fromShown.read(offset);
    if (this.#rtp !== null) this.#fromRtp.read(performance.timeOrigin + this.shownAt + offset - this.#rtp);
  }

  /** Capture time of the last picture, or null while it is unknown. */
  get capture() {
    if (!this.shownAt || this.#fromShown.value === null) return null;
    if (this.#rtp !== null && this.#fromRtp.value !== null) return this.#rtp + this.#fromRtp.value;
    return performance.timeOrigin + this.shownAt + this.#fromShown.value;
  }

  /** Capture time of what would be shown at this moment, or null. */
  get now() {
    return this.#fromShown.value === null ? null : performance.timeOrigin + performance.now() + this.#fromShown.value;
  }

  /** Another session: its RTP timestamps are others. */
  restart() {
    this.#rtp = null;
    this.#fromRtp = new Steady();
  }

  close() {
    this.#video.cancelVideoFrameCallback?.(this.#handle);
  }
}
