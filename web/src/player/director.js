// Chooses what is shown: WebRTC at the live edge, or the recorded side.

import {CaptureClock} from '../lib/capture.js';

const TICK_MS = 20;
const LATE_MS = [130, 400]; // without a picture for so long at least, and at most, the recorded side gets ready
const LATE_TIMES = 1.6; // and for so many times the longest wait for a picture of late
const DOUBT_TIMES = 0.65; // of that, until what it will need is fetched
const DOUBT_EACH_MS = [5000, 80_000]; // time between two of these: longer after each that was for nothing
const FORGET = 0.994; // of that wait, what counts at the next picture
const SOUND_MS = 60; // since the last sound: packets come
const SILENCE_MS = 100; // since then, at least, and LATE_TIMES the longest of late: none come
const CONGESTED_MS = 1500; // the same while sound comes: the link is narrow, and more load would not help it
const FRESH_MS = 250; // since the last picture, while WebRTC is well
const CONNECT_MS = 2500; // WebRTC gets this long for its first picture
const STEADY_FRAMES = 8; // WebRTC shows so many without a gap before it takes over again
const GAP_MS = 150;
const SAME_MS = 80; // capture times so near are the same moment
const AGREE_MS = 3000; // for the two sides to agree on the time
const OVER_MS = 5000; // without a picture after the end of a show: there are none left
const DRY_MS = 1500; // the same while the recorded side stands in: that is more than it is behind
const MISSED_MS = 5000; // less than this is not worth catching up
const AGAIN_MS = 1000; // of what was seen last is shown again: behind the last picture there may be nothing for long
const REFUSED = [400, 401, 403, 404]; // the recorded side would refuse as well
const LOST = ['stalled', 'reconnecting', 'failed'];
const ENDED = ['paused', 'offline'];
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
  #doubt = -Infinity; // when the recorded side was told that it may be needed
  #spacing = DOUBT_EACH_MS[0];
  #alarm = 0; // when the recorded side was asked to get ready
  #wait = 0; // longest for a picture of late
  #silence = {now: 0, longest: 0}; // since the last sound, and the longest of late between two
  #steady = 0; // pictures in a row without a gap
  #steadyAt = 0; // since when
  #brokenUntil = 0; // the recorded side is not asked before
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
    this.#clock = new CaptureClock(rtc, (now, took) => this.#pictured(now, took));
    whep.addEventListener('report', (ev) => this.#clock.update(ev.detail.report));
    whep.addEventListener('stream', () => {
      this.#startedAt = performance.now();
      this.#clock.restart();
    });
    whep.addEventListener('statechange', (ev) => this.#state(ev.detail.state));
    rewind.addEventListener('painted', () => this.#tick());
    whep.addEventListener('place', () => (this.#brokenUntil = 0));
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
    if (this.front !== this.#hls || this.#runs()) {
      this.#toLive();
      return;
    }
    this.#set('fallback');
    this.#rewind.follow();
  }

  catchUp() {
    const from = this.#stopped?.capture ?? this.#seen;
    if (from) this.seek(from - AGAIN_MS);
  }

  /** WebRTC shows pictures now. */
  #healthy() {
    return this.#clock.shownAt > 0 && performance.now() - this.#clock.shownAt < FRESH_MS;
  }

  /** It has, for long enough to be trusted. */
  #runs() {
    return this.#steady >= STEADY_FRAMES && this.#healthy();
  }

  #tick() {
    const now = performance.now();
    const seen = this.capture;
    this.#hear();
    if (seen && this.mode !== 'behind') this.#seen = Math.max(this.#seen ?? 0, seen);
    if (this.mode === 'live') this.#watch(now);
    else if (this.mode === 'fallback' && this.#isSeen(now)) this.#toLive();
    else if (this.mode === 'fallback') this.#mayReturn(now);
    else if (this.front !== this.#hls && this.#rewind.painted) this.#swap(this.#hls);
    else if (this.front === this.#hls && this.#isOver(now)) this.#toLive();
  }

  #pictured(now, took) {
    if (took > GAP_MS) [this.#steady, this.#steadyAt] = [0, now];
    this.#steady++;
    if (this.mode === 'live' && took < LATE_MS[1]) this.#wait = Math.max(took, FORGET * this.#wait);
  }

  /** While WebRTC is shown: is it still there? */
  #watch(now) {
    if (!this.#mayFallBack()) return this.#calm();
    if (document.hidden) return this.#listen(now);
    const since = this.#clock.shownAt || this.#startedAt;
    const patience = this.#clock.frames ? this.#patience() : CONNECT_MS;
    const waited = this.#isPaused() ? 0 : now - since;
    if (waited > DOUBT_TIMES * patience) this.#mayBeNeeded(now);
    if (waited <= patience) return this.#alarm ? this.#calm() : undefined;
    if (!this.#alarm) {
      if (now < this.#brokenUntil) return undefined;
      this.#alarm = now;
      this.#rewind.start(this.#clock.capture, {followLive: true});
    } else if (this.#rewind.painted && this.#notBefore(this.#rewind.capture, this.#clock.capture)) {
      this.#spacing = DOUBT_EACH_MS[0];
      this.#set('fallback');
      this.#swap(this.#hls);
    } else if (this.#rewind.painted) {
      this.#rewind.skipTo(this.#clock.capture);
    }
    return undefined;
  }

  /** By the viewer, or from the beginning while there is something to see. */
  #isPaused() {
    return this.#rtc.paused && (this.#clock.frames > 0 || this.#whep.state === 'live');
  }

  /** Has what a start of the recorded side needs fetched before it is certain that it will be. */
  #mayBeNeeded(now) {
    if (this.#alarm || now < Math.max(this.#doubt + this.#spacing, this.#brokenUntil)) return;
    this.#doubt = now;
    this.#spacing = Math.min(2 * this.#spacing, DOUBT_EACH_MS[1]);
    this.#rewind.foresee(this.#rtc.videoHeight);
  }

  /** Behind other tabs there are no pictures, but sound: it goes on as well. */
  #listen(now) {
    const lost = LOST.includes(this.#whep.state) && !this.#rtc.paused && now >= this.#brokenUntil;
    if (!lost) return this.#calm();
    if (!this.#alarm) {
      this.#alarm = now;
      this.#rewind.start(null, {followLive: true});
    } else if (this.#hls.readyState > this.#hls.HAVE_CURRENT_DATA) {
      this.#set('fallback');
      this.#swap(this.#hls);
    }
    return undefined;
  }

  /** The viewer has seen the show to its end. */
  #isOver(now) {
    return this.#rewind.ended || (this.#gone && !document.hidden && !this.#hls.paused && now - this.#rewind.shownAt > OVER_MS);
  }

  /** The stream has stopped, and all that stands in for it has been shown. */
  #isSeen(now) {
    if (!ENDED.includes(this.#whep.state)) return false;
    const since = Math.max(this.#rewind.shownAt, this.#stopped?.at ?? 0);
    return this.#rewind.ended || this.#hls.paused || document.hidden || now - since > DRY_MS;
  }

  /** Milliseconds without a picture until the recorded side gets ready: longer where pictures are uneven, or only they are late. */
  #patience() {
    const [least, most] = LATE_MS;
    if (this.#soundComes()) return CONGESTED_MS;
    const {now, longest} = this.#silence;
    if (now > Math.max(SILENCE_MS, LATE_TIMES * longest) && now < Infinity) return least; // it does not depend on how busy this page is
    return Math.min(Math.max(least, LATE_TIMES * this.#wait), most);
  }

  #soundComes() {
    return this.#silence.now < SOUND_MS;
  }

  #hear() {
    const receiver = this.#whep.peerConnection?.getReceivers?.().find((r) => r.track?.kind === 'audio');
    const [source] = receiver?.getSynchronizationSources() || [];
    const {now: was, longest} = this.#silence;
    const now = source ? performance.timeOrigin + performance.now() - source.timestamp : Infinity;
    const over = now < was ? Math.min(was, LATE_MS[1]) : 0;
    this.#silence = {now, longest: Math.max(over, FORGET * longest)};
  }

  /** WebRTC has a stream to show, or cannot show it here. */
  #mayFallBack() {
    const {state, error} = this.#whep;
    return CAN_FALL_BACK.includes(state) || (state === 'failed' && !REFUSED.includes(error?.status));
  }

  /** The side to come has reached what the other has shown, as far as is known. */
  #notBefore(next, shown) {
    return shown === null || next === null || next >= shown - SAME_MS;
  }

  #calm() {
    if (!this.#alarm) return;
    this.#alarm = 0;
    if (this.mode === 'live') this.#rewind.stop();
  }

  /** While the recorded side stands in: is WebRTC back, with pictures of now? */
  #mayReturn(now) {
    if (this.front === this.#hls && this.#hls.paused) return undefined;
    if (document.hidden && this.#whep.state === 'live' && this.#soundComes()) return this.#toLive();
    if (!this.#runs()) return undefined;
    const agreed = this.front === this.#rtc || this.#notBefore(this.#clock.capture, this.#rewind.capture);
    if (agreed || now - this.#steadyAt > AGREE_MS) this.#toLive();
    return undefined;
  }

  #toLive() {
    this.#alarm = 0;
    this.#set('live');
    this.#swap(this.#rtc);
    this.#rewind.stop();
  }

  #state(state) {
    if (ENDED.includes(state)) this.#stopped ||= {capture: this.#seen, at: performance.now()};
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
