// Chooses what is shown: WebRTC at the live edge, or the recorded side.

import {CaptureClock} from '../lib/capture.js';

const TICK_MS = 50;
const LATE_MS = 200; // without a picture for so long, the recorded side gets ready
const LATE_PICTURES = 3; // and for so many intervals between pictures
const WARY_MS = 400; // the same after a false alarm
const FRESH_MS = 250; // since the last picture, while WebRTC is well
const CONNECT_MS = 2500; // WebRTC gets this long for its first picture
const STEADY_FRAMES = 8; // WebRTC shows so many before it takes over again
const MISSED_MS = 5000; // less than this is not worth catching up
const COOLDOWN_MS = 1500; // after a false alarm
const REFUSED = [400, 401, 403, 404]; // the recorded side would refuse as well
const CAN_FALL_BACK = ['connecting', 'live', 'stalled', 'reconnecting'];

/**
 * Modes: live (WebRTC is shown), fallback (the recorded side stands in for
 * WebRTC and follows the live edge), behind (the viewer has gone back).
 *
 * Events: mode ({mode}), swap ({video}), returned ({missed}).
 */
export class Director extends EventTarget {
  #whep;
  #rewind;
  #rtc; // video element of WebRTC
  #hls; // and of the recorded side
  #clock;
  #timer = 0;
  #startedAt = performance.now();
  #alarm = 0; // when the recorded side was asked to get ready
  #waryUntil = 0;
  #brokenUntil = 0; // the recorded side is not asked before
  #framesThen = 0; // of WebRTC when it was lost
  #lostAt = 0;
  #stopped = null; // {capture, at}: when the stream stopped
  #gone = false; // the show has ended
  #seen = null; // capture time of the newest picture shown

  constructor({whep, rewind, rtc, hls}) {
    super();
    this.#whep = whep;
    this.#rewind = rewind;
    this.#rtc = rtc;
    this.#hls = hls;
    this.mode = 'live';
    this.front = rtc;
    this.#clock = new CaptureClock(rtc);
    whep.addEventListener('report', (ev) => this.#clock.update(ev.detail.report));
    whep.addEventListener('stream', () => (this.#startedAt = performance.now()));
    whep.addEventListener('statechange', (ev) => this.#state(ev.detail.state));
    rewind.addEventListener('painted', () => this.#tick());
    rewind.addEventListener('failed', () => this.#recordedFailed());
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  /** Capture time of what is shown, or null. */
  get capture() {
    return this.front === this.#hls ? this.#rewind.capture : this.#clock.capture;
  }

  /** Capture time of the live edge, or null. */
  get liveCapture() {
    return this.#clock.now ?? this.#rewind.range?.to ?? null;
  }

  /** Goes to a capture time. */
  async seek(capture) {
    this.#alarm = 0;
    this.#set('behind');
    if (this.#rewind.playing) await this.#rewind.seek(capture);
    else await this.#rewind.start(capture);
  }

  goLive() {
    if (this.mode === 'live') return;
    this.#framesThen = this.#clock.frames;
    this.#lostAt = performance.now();
    if (this.front === this.#hls) this.#set('fallback');
    else this.#toLive();
    if (this.mode === 'fallback' && !this.#healthy()) this.#rewind.start(null, {followLive: true});
  }

  catchUp() {
    const from = this.#stopped?.capture ?? this.#seen;
    if (from) this.seek(from);
  }

  /** WebRTC shows pictures now. */
  #healthy() {
    return this.#clock.shownAt > 0 && performance.now() - this.#clock.shownAt < FRESH_MS;
  }

  #tick() {
    const now = performance.now();
    const seen = this.capture;
    if (seen && this.mode !== 'behind') this.#seen = Math.max(this.#seen ?? 0, seen);
    if (this.mode === 'live') this.#watch(now);
    else if (this.mode === 'fallback') this.#wait();
    else if (this.front !== this.#hls && this.#rewind.painted) this.#swap(this.#hls);
  }

  /** While WebRTC is shown: is it still there? */
  #watch(now) {
    if (document.hidden || !this.#mayFallBack()) return this.#calm();
    const since = this.#clock.shownAt || this.#startedAt;
    const late = now - since > (this.#clock.frames ? this.#patience(now) : CONNECT_MS) && !this.#rtc.paused;
    if (!late) return this.#alarm ? this.#calm() : undefined;
    if (!this.#alarm) {
      if (now < this.#brokenUntil) return undefined;
      this.#alarm = now;
      this.#lostAt = since;
      this.#framesThen = this.#clock.frames;
      this.#rewind.start(this.#clock.capture, {followLive: true});
    } else if (this.#rewind.painted && this.#notBefore()) {
      this.#set('fallback');
      this.#swap(this.#hls);
    } else if (this.#rewind.painted) {
      this.#rewind.skipTo(this.#clock.capture);
    }
    return undefined;
  }

  #patience(now) {
    return Math.max(now < this.#waryUntil ? WARY_MS : LATE_MS, LATE_PICTURES * this.#clock.interval);
  }

  /** WebRTC has a stream to show, or cannot show it here. */
  #mayFallBack() {
    const {state, error} = this.#whep;
    return CAN_FALL_BACK.includes(state) || (state === 'failed' && !REFUSED.includes(error?.status));
  }

  /** The recorded side has reached what WebRTC has shown. */
  #notBefore() {
    const recorded = this.#rewind.capture;
    const shown = this.#clock.capture;
    return shown === null || recorded === null || recorded >= shown - 80;
  }

  #calm() {
    if (!this.#alarm) return;
    this.#alarm = 0;
    this.#waryUntil = performance.now() + COOLDOWN_MS;
    if (this.mode === 'live') this.#rewind.stop();
  }

  /** While the recorded side stands in: is WebRTC back? */
  #wait() {
    if (this.#clock.frames - this.#framesThen >= STEADY_FRAMES && this.#healthy()) this.#toLive();
  }

  #toLive() {
    this.#alarm = 0;
    this.#set('live');
    this.#swap(this.#rtc);
    this.#rewind.stop();
  }

  #state(state) {
    if (state === 'paused' || state === 'offline') {
      this.#stopped ||= {capture: this.#seen, at: performance.now()};
      if (this.mode === 'fallback') this.#toLive(); // nothing new comes there either
    }
    if (state === 'reconnecting' && this.mode === 'fallback') this.#framesThen = this.#clock.frames;
    if (state === 'offline') this.#gone = true;
    if (state !== 'live') return;
    if (this.#gone && this.mode === 'live') this.#rewind.reset(); // another show may run now
    this.#gone = false;
    if (!this.#stopped) return;
    const missed = performance.now() - this.#stopped.at;
    const from = this.#stopped.capture;
    if (from && missed > MISSED_MS) this.dispatchEvent(new CustomEvent('returned', {detail: {missed, from}}));
    setTimeout(() => (this.#stopped = null), 30_000);
  }

  #recordedFailed() {
    this.#alarm = 0;
    this.#brokenUntil = performance.now() + 5000;
    if (this.mode !== 'live') this.#toLive();
  }

  /** Puts one element in front; both go on, so that nothing turns black. */
  #swap(video) {
    if (this.front === video) return;
    const froze = performance.now() - (this.front === this.#rtc ? this.#clock.shownAt : performance.now());
    const was = this.front;
    this.front = video;
    this.dispatchEvent(new CustomEvent('swap', {detail: {video, was, froze: Math.max(0, froze)}}));
  }

  #set(mode) {
    if (this.mode === mode) return;
    this.mode = mode;
    this.dispatchEvent(new CustomEvent('mode', {detail: {mode}}));
  }

  close() {
    clearInterval(this.#timer);
    this.#clock.close();
  }
}
