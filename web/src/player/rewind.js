// The recorded side of a stream: LL-HLS by hls.js, or by the browser itself.

import {CaptureClock} from '../lib/capture.js';
import {Ahead} from './ahead.js';
import {LOOK_S, makeLibrary, SOUND} from './library.js';
import {NativeSource} from './native.js';

const EDGE_S = 0.15; // as near to the live edge as a start may be
const HOLE_S = 0.1; // sound and picture do not begin at the same moment
const LEAST_S = 0.5; // distance to the live edge that can be started at
const PARTS = 2; // so many parts, and MARGIN_S, is the distance that is kept
const MARGIN_S = 0.1;
const ENOUGH = 2; // times the bits of a rendition, for the library to begin with it
const THIN_S = 0.15; // of buffer: time to build one up
const BEGIN_S = 0.2; // the same right after a start that continues nothing
const FAR_S = 4; // behind its place at the live edge: jump there
const NEAR_S = 3; // to the live edge: no faster than it comes
const SLOW = 0.9;
const RATES = [[0.6, 1.25], [0.25, 1.1], [0.08, 1.04]]; // seconds behind, playback rate

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
  #level = -1; // chosen, -1: automatic
  #clock;
  #timer = 0;
  #ahead;
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
    if (this.#level >= 0) hls.nextLevel = this.#level;
    this.#emit('levels');
  }

  #listen(hls, {Events, ErrorTypes}) {
    hls.on(Events.MANIFEST_LOADED, (_, data) => (hls.sessionData = data.sessionData));
    const details = (_, data) => data.details.deltaUpdateFailed || this.#took(data.details); // it has holes, and is asked for again
    hls.on(Events.LEVEL_LOADED, details);
    hls.on(Events.LEVEL_UPDATED, details);
    hls.on(Events.AUDIO_TRACK_LOADED, (_, data) => this.#sound(data.details));
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
    const at = this.#positionOf(target);
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
  #fetchParts(details, capture) {
    if (!details.fragments.length) return;
    const at = this.#positionOf(capture, details) - LOOK_S;
    const parts = (details.partList || []).filter((p) => !p.gap);
    const from = parts.findLastIndex((p) => p.independent && p.start <= at);
    if (from >= 0) this.#ahead.fetchAll(parts.slice(from).map((p) => p.url));
  }

  #sound(details) {
    if (this.#begin === null || this.#soundAhead) return;
    this.#soundAhead = true;
    this.#fetchParts(details, this.#begin);
  }

  /** A start at the live edge is likely, beside a picture of this height: what it would ask for comes now. */
  foresee(height) {
    const hls = this.#hls;
    if (!hls) this.prepare();
    if (!hls?.levels.length || this.#started) return;
    if (this.#level < 0 && height) this.#beginWith(this.#nearest(height));
    const {uri, audioGroups} = hls.levels[this.#level < 0 ? hls.startLevel : this.#level] || {};
    const sound = hls.allAudioTracks.find((s) => audioGroups?.includes(s.groupId));
    for (const url of [uri, sound?.url]) if (url) this.#ahead.edge(url, EDGE_S + LOOK_S);
  }

  /** The quality that was seen is begun with, and left when the link turns out not to carry it. */
  #beginWith(level) {
    this.#hls.startLevel = level;
    this.#hls.bandwidthEstimate = ENOUGH * this.#hls.levels[level].maxBitrate;
  }

  /** The library's levels, which are there once for each kind of sound, with one kind of it. */
  get #levels() {
    const all = (this.#hls?.levels || []).map((level, i) => ({level, i}));
    const same = (l) => all.filter((o) => o.level.uri === l.level.uri);
    return all.filter((l) => l === (same(l).find((o) => o.level.audioCodec === SOUND) || same(l)[0]));
  }

  #nearest(height) {
    const off = ({level}) => Math.abs(level.height - height);
    return this.#levels.reduce((best, l) => (best && off(best) <= off(l) ? best : l), null)?.i ?? -1;
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

  /** Position in the media of a capture time, within what there is. */
  #positionOf(capture, {fragments, edge} = this.#details) {
    let best = fragments[0];
    for (const f of fragments) if (f.programDateTime && f.programDateTime <= capture) best = f;
    const at = best.start + (capture - best.programDateTime) / 1000;
    return Math.max(fragments[0].start + HOLE_S, Math.min(at, edge - EDGE_S));
  }

  /** Forgets the show: the next prepare() reads the one that runs then. */
  reset() {
    this.#used = false;
    this.stop();
    this.#hls?.destroy();
    this.#hls = null;
    this.#details = null;
    this.#preparing = null;
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
    else this.#options.video.currentTime = this.#positionOf(capture);
    return Promise.resolve(true);
  }

  /** Goes on to a capture time that is loaded already. */
  skipTo(capture) {
    if (this.#details && !this.#options.video.seeking) this.#skip(this.#positionOf(capture));
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
    this.#used = false;
    this.#hls?.destroy();
    this.#hls = null;
    this.#preparing = null;
    this.prepare();
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
    if (behind > FAR_S && edge) video.currentTime = edge;
    if (this.rate > 1 && this.#hls.latency < NEAR_S) this.rate = 1;
    const faster = RATES.find(([s]) => behind > s)?.[1] ?? 1;
    const wanted = this.followLive ? faster : this.rate;
    const rate = this.followLive && ahead < THIN_S ? SLOW : wanted;
    if (video.playbackRate !== rate) video.playbackRate = rate;
  }

  #shown() {
    if (!this.#started || this.painted || this.#target !== null) return;
    this.painted = true;
    this.#hop = this.followLive && this.#begin === null;
    this.#begin = null;
    if (this.followLive && this.#details?.partTarget) this.#hls.targetLatency = PARTS * this.#details.partTarget + MARGIN_S;
    this.#emit('painted');
  }

  get playing() {
    return this.#started;
  }

  /** Capture time of what is shown, or null. */
  get capture() {
    if (this.#native) return this.#native.capture;
    return this.#hls?.playingDate?.getTime() ?? null;
  }

  /** @returns {Range|null} what can be played */
  get range() {
    if (this.#native) return this.#native.range;
    const fragments = this.#details?.fragments || [];
    const first = fragments.find((f) => f.programDateTime);
    if (!first) return null;
    const last = fragments.findLast((f) => f.programDateTime);
    return {from: first.programDateTime, to: last.programDateTime + 1000 * (this.#details.edge - last.start)};
  }

  /** When the last picture was shown, performance.now. */
  get shownAt() {
    return this.#clock.shownAt;
  }

  get ended() {
    return this.#details ? !this.#details.live && this.#options.video.ended : this.#options.video.ended;
  }

  /** Qualities, best first, in the form of WHEP's layers. */
  get layers() {
    return this.#levels.map(({level: l, i}) => ({rid: `hls-${i}`, width: l.width, height: l.height, bitrate: l.averageBitrate || l.bitrate, active: true}))
      .sort((a, b) => b.height - a.height || b.bitrate - a.bitrate);
  }

  get choice() {
    return !this.#hls || this.#hls.autoLevelEnabled ? 'auto' : `hls-${this.#hls.loadLevel}`;
  }

  /** Picks "auto", an entry of layers, or the nearest height. */
  select(choice, height = 0) {
    if (!this.#hls) return;
    const at = /^hls-(\d+)$/.exec(choice);
    let level = at ? Number(at[1]) : -1;
    if (!at && choice !== 'auto' && height) level = this.#nearest(height);
    this.#level = level;
    this.#hls.nextLevel = level;
    this.#emit('levels');
  }

  close() {
    this.#used = false;
    this.stop();
    this.#clock.close();
    this.#hls?.destroy();
    this.#hls = null;
    this.#native?.close();
    this.#native = null;
  }

  #emit(type) {
    this.dispatchEvent(new CustomEvent(type));
  }
}
