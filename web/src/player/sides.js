// The two sides of a stream behind one picture: WebRTC and the recorded one.

import {h} from '../lib/dom.js';
import {t} from '../strings.js';
import {startPlaying} from './controls.js';
import {Director} from './director.js';
import {Rewind} from './rewind.js';
import {Thumbnails} from './thumbnails.js';
import {ReturnCard, Timeline} from './timeline.js';

const WARM_AFTER_MS = 2000; // of live picture, then the recorded side is prepared
const RETRY_MS = 10_000;
const TICK_MS = 500;

/** Address of the recorded side for a WHEP endpoint of this server, or "". */
export function recordedUrl(whep) {
  const url = new URL(whep, document.baseURI);
  const match = /^(.*)\/whep\/([\w-]+)$/.exec(url.pathname);
  return match ? `${url.origin}${match[1]}/hls/${match[2]}/index.m3u8` : '';
}

/**
 * Owns both video elements, the seek bar and the card after a pause.
 * Callbacks: onSwap(video), onMode(mode), onChange(), onRefused('sound' or 'all': what the browser does not play before a person asks).
 */
export class Sides {
  #callbacks;
  #timer = 0;
  #whep = null;
  #thumbnails = null;
  #warmAt = 0;
  #token = '';
  #silenced = false; // by the browser, not by the viewer

  constructor(callbacks, {playsinline}) {
    this.#callbacks = callbacks;
    const video = (kind) => h('video', {class: kind, playsinline, 'aria-label': t('player.label')});
    this.rtc = video('rtc');
    this.hls = video('hls');
    this.hls.setAttribute('aria-hidden', 'true');
    this.hls.muted = true;
    this.front = this.rtc;
    this.rtc.classList.add('front');
    this.rewind = null;
    this.director = null;
    this.timeline = new Timeline({
      seek: (capture) => this.seek(capture), goLive: () => this.goLive(), look: () => this.#look(),
      picture: (capture) => this.#thumbnails?.at(capture) ?? Promise.resolve(''),
    });
    this.card = new ReturnCard({catchUp: () => this.director?.catchUp(), goLive: () => this.goLive()});
  }

  get mode() {
    return this.director?.mode || 'live';
  }

  /** What is shown: mode, recording ("" while it is unknown) and capture time (or null). */
  get moment() {
    return {mode: this.mode, recording: this.rewind?.recording || '', capture: this.director?.capture ?? null};
  }

  /** True while the recorded side is shown. */
  get recorded() {
    return this.front === this.hls;
  }

  start(whep, {url, token}) {
    this.stop();
    this.#whep = whep;
    this.#token = token;
    if (!url) return;
    this.rewind = new Rewind({video: this.hls, url, token});
    this.director = new Director({whep, rewind: this.rewind, rtc: this.rtc, hls: this.hls});
    this.director.addEventListener('swap', (ev) => this.#swap(ev.detail));
    this.director.addEventListener('mode', (ev) => {
      this.#callbacks.onMode(ev.detail.mode);
      this.#tick();
    });
    this.director.addEventListener('returned', (ev) => this.card.show(ev.detail.missed));
    this.rewind.addEventListener('levels', () => this.#callbacks.onChange());
    this.#warmAt = performance.now() + WARM_AFTER_MS;
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  /** The session is at another server: so is the recorded side. */
  move(url) {
    if (url) this.rewind?.move(url);
  }

  stop() {
    clearInterval(this.#timer);
    this.director?.close();
    this.rewind?.close();
    this.#thumbnails?.close();
    this.director = this.rewind = this.#thumbnails = null;
    this.card.hide();
    if (this.recorded) this.#swap({video: this.rtc, was: this.hls, froze: 0});
    this.timeline.update({from: 0, to: 0, at: 0, live: true});
  }

  /** Sound, volume and pause stay with the picture. */
  #swap({video, was, froze}) {
    const paused = was === this.rtc && was.paused && this.mode === 'fallback';
    this.front = video;
    video.volume = was.volume;
    video.muted = was.muted && !this.#silenced;
    this.#silenced = false;
    was.muted = true;
    video.classList.add('front');
    was.classList.remove('front');
    video.removeAttribute('aria-hidden');
    was.setAttribute('aria-hidden', 'true');
    if (paused) video.pause();
    else if (video.paused) this.play();
    if (was === this.rtc && this.mode === 'behind' && was.paused) was.play().catch(() => {}); // so that it can be gone back to
    if (was.getRootNode().pictureInPictureElement === was) video.requestPictureInPicture().catch(() => {});
    this.#callbacks.onSwap(video, froze);
  }

  /** Plays what is shown, without sound where the browser insists. */
  async play() {
    const video = this.front;
    const refused = await startPlaying(video);
    if (this.front !== video) return;
    this.#silenced = refused === 'sound' || (this.#silenced && video.muted);
    if (refused) this.#callbacks.onRefused(refused);
  }

  /** WebRTC has a stream: it plays, seen or not. */
  playLive() {
    if (this.recorded) this.rtc.play().catch(() => {});
    else this.play();
  }

  /** A person acts: from now on the other side may play as well, and with sound. */
  touched() {
    this.#silenced = false;
    const other = this.recorded ? this.rtc : this.hls;
    other.muted = false;
    other.muted = true;
    if (this.recorded && other.srcObject && other.paused) other.play().catch(() => {});
  }

  seek(capture) {
    this.card.hide();
    return this.director?.seek(capture);
  }

  /** Moves by seconds from what is shown. */
  nudge(seconds) {
    const at = this.director?.capture;
    const live = this.director?.liveCapture;
    if (!at || this.timeline.element.hidden) return;
    if (live && at + 1000 * seconds > live - 1500) this.goLive();
    else this.seek(at + 1000 * seconds);
  }

  /** Plays the past slower or faster. Returns the rate, 0 when something else is shown. */
  nudgeRate(by) {
    if (this.mode !== 'behind' || !this.rewind.playing) return 0;
    this.rewind.rate = Math.min(2, Math.max(0.25, this.rewind.rate + by));
    return this.rewind.rate;
  }

  goLive() {
    this.card.hide();
    this.director?.goLive();
  }

  async #look() {
    if (!(await this.rewind?.prepare()) || !this.rewind?.thumbnailsUrl) return;
    if (this.mode === 'live') this.rewind.warm();
    this.#thumbnails ||= new Thumbnails(this.rewind.thumbnailsUrl, this.#token);
    await this.#thumbnails.refresh().catch(() => {});
  }

  #tick() {
    const now = performance.now();
    if (now > this.#warmAt && this.#whep.state === 'live') {
      this.#warmAt = now + RETRY_MS;
      this.#look();
    }
    const range = this.rewind.range;
    const from = Math.min(this.#thumbnails?.from || Infinity, range?.from || Infinity);
    const to = Math.max(this.director.liveCapture ?? 0, range?.to ?? 0);
    this.timeline.update({from: Number.isFinite(from) ? from : 0, to, at: this.director.capture ?? to, live: this.mode !== 'behind'});
    this.#callbacks.onChange();
  }
}
