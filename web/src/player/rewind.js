// The recorded side of a stream: LL-HLS by hls.js, or by the browser itself.

import {CaptureClock} from '../lib/capture.js';
import {Ahead} from './ahead.js';
import {layersOfLibrary, nearestLevel} from './ladder.js';
import {LOOK_S, makeLibrary, SOUND} from './library.js';
import {NativeSource} from './native.js';
import {rateAtEdge} from './pace.js';
import {captureOf, partsFrom, positionOf, rangeOf, START_S, whole} from './positions.js';

const LEAST_S = 0.5; // distance to the live edge that can be started at
const PARTS = 2; // so many parts, and MARGIN_S, is the distance that is kept
const MARGIN_S = 0.1;
const ENOUGH = 2; // times the bits of a rendition, for the library to begin with it
const BEGIN_S = 0.2; // the same right after a start that continues nothing
const FAR_S = 4; // behind its place at the live edge: jump there
const LEAP_MS = 1000; // for what is needed there to come, before that
const NEAR_S = 3; // to the live edge: no faster than it comes

/** @typedef {{from: number, to: number}} Range capture times in milliseconds */

/**
 * Plays a stream's playlist in a video element, addressed by capture time.
 * Loads the library and the multivariant playlist in prepare(), media only
 * between start() and stop().
 *
 * Events: levels, range, painted (a picture was shown since start), failed.
 */
export class Rewind extends EventTarget {
  #options;
  #hls = null;
  #native = null;
  #preparing = null;
  #details = null;
  #target = null; // capture time to start at; NaN: the live edge
  #begin = null; // the same, until a picture of it is shown
  #started = false;
  #used = false; // the library has loaded media
  #moved = false; // the address is another one than that which plays
  #hop = false; // it may jump nearer to the live edge
  #height = 0; // of the quality that was chosen, 0: automatic
  #leaping = false;
  #clock;
  #timer = 0;
  #ahead;
  #soundDetails = null;
  #soundAhead = false; // fetched for this start

  /** @param {{video: HTMLVideoElement, url: string, token: string}} options */
  constructor(options) {
    super();
    this.#options = options;
    this.#ahead = new Ahead(options.token);
    this.painted = false;
    this.followLive = false;
    this.rate = 1; // of playback in the past
    this.recording = '';
    this.thumbnailsUrl = '';
    this.#clock = new CaptureClock(options.video, () => this.#shown());
  }

  /** Resolves to false when there is nothing to play. */
  prepare() {
    this.#preparing ||= this.#open();
    return this.#preparing;
  }

  async #open() {
    this.#moved = false;
    const {default: Hls} = await import('../vendor/hls/hls.mjs').catch(() => ({}));
    if (!Hls) {
      this.#preparing = null;
      return false;
    }
    if (!Hls.isSupported()) {
      this.#native?.close();
      const native = {...this.#options, onError: () => this.#fail()};
      this.#native = NativeSource.supported(native.video) ? new NativeSource(native) : null;
      return this.#native !== null;
    }
    const {token, url, video} = this.#options;
    const hls = makeLibrary(Hls, {token, ahead: this.#ahead});
    this.#hls = hls;
    this.#listen(hls, Hls);
    const parsed = new Promise((resolve) => {
      hls.once(Hls.Events.MANIFEST_PARSED, () => resolve(true));
      hls.on(Hls.Events.ERROR, (_, data) => data.fatal && resolve(false));
    });
    hls.loadSource(url);
    hls.attachMedia(video);
    const ok = (await parsed) && this.#hls === hls;
    if (ok) this.#read(hls);
    else if (this.#hls === hls || this.#hls === null) this.#preparing = null; // to be tried again
    return ok;
  }

  #read(hls) {
    const data = hls.sessionData || {};
    this.recording = data['live.sluice.recording']?.VALUE || '';
    const thumbs = data['live.sluice.thumbnails']?.VALUE;
    if (thumbs) this.thumbnailsUrl = new URL(thumbs, this.#options.url).href;
    this.#applyChoice();
  }

  #listen(hls, {Events, ErrorTypes}) {
    hls.on(Events.MANIFEST_LOADED, (_, data) => (hls.sessionData = data.sessionData));
    const details = (_, data) => whole(data.details) && this.#took(data.details);
    hls.on(Events.LEVEL_LOADED, details);
    hls.on(Events.LEVEL_UPDATED, details);
    const sound = (_, data) => whole(data.details) && this.#sound(data.details);
    hls.on(Events.AUDIO_TRACK_LOADED, sound);
    hls.on(Events.AUDIO_TRACK_UPDATED, sound);
    hls.on(Events.BUFFER_APPENDED, () => this.#begin !== null && this.skipTo(this.#begin));
    hls.on(Events.LEVEL_SWITCHED, () => this.#emit('levels'));
    hls.on(Events.ERROR, (_, data) => {
      if (!data.fatal) return;
      if (data.type === ErrorTypes.MEDIA_ERROR && this.#started) hls.recoverMediaError();
      else this.#fail();
    });
  }

  #fail() {
    const again = this.#moved && this.#started ? {at: this.capture, followLive: this.followLive} : null;
    this.reset();
    if (again) this.start(again.at, again);
    else this.#emit('failed');
  }

  /** The playlist is elsewhere from now on. What plays goes on while it can. */
  move(url) {
    if (url === this.#options.url) return;
    this.#options = {...this.#options, url};
    this.#moved = true;
    if (!this.#started) this.reset();
  }

  #took(details) {
    const first = this.#details === null;
    this.#details = details;
    if (this.#started && this.#target !== null && (first || this.#options.video.readyState === 0)) this.#aim();
    this.#emit('range');
  }

  /** Starts media where #target says; needs a playlist. */
  #aim() {
    const target = this.#target;
    this.#target = null;
    if (Number.isNaN(target) || !this.#details.fragments.length) return;
    const at = positionOf(target, this.#details);
    if (this.followLive) { // a distance is enough, and spares a second start
      this.#hls.targetLatency = this.#details.edge + this.#details.age - at;
      this.#begin = target;
      this.#fetchParts(this.#details, target);
      return;
    }
    this.#hls.stopLoad();
    this.#hls.startLoad(at);
    this.#options.video.currentTime = at;
  }

  /** The library asks for the parts from the keyframe on one by one: now they come at once. */
  async #fetchParts(details, capture) {
    if (details?.fragments.length) await this.#ahead.fetchAll(partsFrom(positionOf(capture, details) - LOOK_S, details));
  }

  #sound(details) {
    this.#soundDetails = details;
    if (this.#begin === null || this.#soundAhead) return;
    this.#soundAhead = true;
    this.#fetchParts(details, this.#begin);
  }

  /** A start at the live edge is likely, beside a picture of this height: what it would ask for comes now. */
  foresee(height) {
    const hls = this.#hls;
    if (!hls) this.prepare();
    if (!hls?.levels.length || this.#started) return;
    if (!this.#height && height) this.#beginWith(nearestLevel(hls, height));
    const {uri, audioGroups} = hls.levels[this.#height ? nearestLevel(hls, this.#height) : hls.startLevel] || {};
    const sound = hls.allAudioTracks.find((s) => audioGroups?.includes(s.groupId));
    for (const url of [uri, sound?.url]) if (url) this.#ahead.edge(url, START_S + LOOK_S);
  }

  /** The quality that was seen is begun with, and left when the link turns out not to carry it. */
  #beginWith(level) {
    this.#hls.startLevel = level;
    this.#hls.bandwidthEstimate = ENOUGH * this.#hls.levels[level].maxBitrate;
  }

  /** Has the init sections, and a connection open. */
  async warm() {
    if (!(await this.prepare()) || this.#native || this.#started) return;
    const {levels, allAudioTracks: sounds} = this.#hls;
    const same = sounds.filter((s) => s.audioCodec === SOUND);
    for (const url of new Set([...levels, ...(same.length ? same : sounds)].map((l) => l.uri || l.url))) {
      const delta = new URL(url);
      delta.searchParams.set('_HLS_skip', 'YES');
      const text = await this.#ahead.text(delta.href);
      const name = [...text.matchAll(/#EXT-X-MAP:URI="([^"]+)"/g)].pop()?.[1];
      if (name) await this.#ahead.fetch(new URL(name, url).href);
    }
  }

  /** Forgets the show: the next prepare() reads the one that runs then. */
  reset() {
    this.#used = false;
    this.stop();
    this.#discard();
    this.#details = this.#soundDetails = null;
    this.thumbnailsUrl = '';
  }

  /** Seconds from what is shown to the end of what there is, or null. */
  get latency() {
    return this.#hls?.latency || null;
  }

  /** Loads and plays from a capture time; null for the live edge. */
  async start(capture, {followLive = false} = {}) {
    this.followLive = followLive;
    this.painted = false;
    this.rate = 1;
    this.#target = capture ?? NaN;
    this.#begin = null;
    this.#soundAhead = false;
    this.#started = true;
    if (!(await this.prepare()) || !this.#started) return false;
    if (this.#native) {
      this.#target = null;
      this.#native.start(capture);
    } else {
      this.#details = null;
      this.#used = true;
      if (followLive) this.#hls.targetLatency = LEAST_S;
      this.#hls.startLoad(-1);
    }
    clearInterval(this.#timer);
    this.#timer = setInterval(() => this.#pace(), 200);
    this.#options.video.play().catch(() => {});
    return true;
  }

  seek(capture) {
    this.followLive = false;
    if (!this.#started || (!this.#details && !this.#native)) return this.start(capture);
    if (this.#native) this.#native.seek(capture);
    else this.#options.video.currentTime = positionOf(capture, this.#details);
    return Promise.resolve(true);
  }

  /** Goes on from the past to the live edge, and follows it. A new start would wait for the next playlist but one. */
  follow() {
    if (!this.#started || this.#native || !this.#details) return this.start(null, {followLive: true});
    [this.followLive, this.rate] = [true, 1];
    this.#keepNear();
    this.#options.video.play().catch(() => {});
    return this.#leap();
  }

  /** Jumps to the live edge when what is needed there has come: until then, what is shown goes on. */
  async #leap() {
    const hls = this.#hls;
    const at = hls.liveSyncPosition;
    if (this.#leaping || !at) return;
    this.#leaping = true;
    const capture = captureOf(at, this.#details);
    const all = Promise.all([this.#fetchParts(this.#details, capture), this.#fetchParts(this.#soundDetails, capture)]);
    await Promise.race([all, new Promise((resolve) => setTimeout(resolve, LEAP_MS))]);
    this.#leaping = false;
    if (this.#hls === hls && this.#started && this.followLive) this.#options.video.currentTime = at;
  }

  /** Goes on to a capture time that is loaded already. */
  skipTo(capture) {
    if (this.#details && !this.#options.video.seeking) this.#skip(positionOf(capture, this.#details));
  }

  #skip(at) {
    const {video} = this.#options;
    for (let i = 0; i < video.buffered.length; i++) {
      if (video.buffered.start(i) <= at && at < video.buffered.end(i) - 0.05 && at > video.currentTime) video.currentTime = at;
    }
  }

  /** Stops loading, and prepares the next start. */
  stop() {
    this.#started = false;
    this.#target = this.#begin = null;
    this.painted = false;
    clearInterval(this.#timer);
    this.#options.video.pause();
    this.#options.video.playbackRate = 1;
    this.#native?.stop();
    this.#ahead.stop();
    if (this.#used) this.#renew();
  }

  /** A library that has played aligns what it loads next by what it knew then. */
  #renew() {
    this.#discard();
    this.prepare();
  }

  #discard() {
    this.#used = false;
    this.#hls?.destroy();
    this.#hls = this.#preparing = null;
  }

  /** Keeps its distance to the live edge: slower when the buffer is thin. */
  #pace() {
    const {video} = this.#options;
    if (!this.#hls || video.paused || !this.painted) return;
    const {buffered, currentTime} = video;
    const ahead = buffered.length ? buffered.end(buffered.length - 1) - currentTime : 0;
    const behind = this.followLive ? this.#hls.latency - this.#hls.targetLatency : 0;
    const edge = this.#hls.liveSyncPosition;
    if (this.#hop && behind > BEGIN_S && edge) this.#skip(edge);
    else this.#hop = false;
    if (behind > FAR_S && edge) this.#leap();
    if (this.rate > 1 && this.#hls.latency < NEAR_S) this.rate = 1;
    const rate = this.followLive && !this.#leaping ? rateAtEdge(behind, ahead) : this.rate;
    if (video.playbackRate !== rate) video.playbackRate = rate;
  }

  #shown() {
    if (!this.#started || this.painted || this.#target !== null) return;
    this.painted = true;
    this.#hop = this.followLive && this.#begin === null;
    this.#begin = null;
    if (this.followLive) this.#keepNear();
    this.#emit('painted');
  }

  #keepNear() {
    if (this.#details?.partTarget) this.#hls.targetLatency = PARTS * this.#details.partTarget + MARGIN_S;
  }

  get playing() {
    return this.#started;
  }

  /** Capture time of what is shown, or null. */
  get capture() {
    return this.#native ? this.#native.capture : this.#hls?.playingDate?.getTime() ?? null;
  }

  /** @returns {Range|null} what can be played */
  get range() {
    return this.#native ? this.#native.range : this.#details && rangeOf(this.#details);
  }

  /** When the last picture was shown, performance.now. */
  get shownAt() {
    return this.#clock.shownAt;
  }

  get ended() {
    return this.#options.video.ended && !this.#details?.live;
  }

  /** Qualities, best first, in the form of WHEP's layers. */
  get layers() {
    return layersOfLibrary(this.#hls);
  }

  /** "auto", or the rid of the layer that was chosen. */
  get choice() {
    return this.#height ? `hls-${nearestLevel(this.#hls, this.#height)}` : 'auto';
  }

  /** Picks the quality with the nearest height, now and in all that is played later; 0: automatic. */
  select(height) {
    if (height === this.#height) return;
    this.#height = height;
    this.#applyChoice();
  }

  #applyChoice() {
    if (!this.#hls?.levels.length) return;
    const level = this.#height ? nearestLevel(this.#hls, this.#height) : -1;
    if (level >= 0) this.#hls.startLevel = level;
    if (level !== this.#hls.manualLevel) this.#hls.nextLevel = level;
    this.#emit('levels');
  }

  close() {
    this.#used = false;
    this.stop();
    this.#clock.close();
    this.#discard();
    this.#native?.close();
    this.#native = null;
  }

  #emit(type) {
    this.dispatchEvent(new CustomEvent(type));
  }
}
