// <live-player src="/whep/demo">: the player with its user interface.

import styles from '../css/player.css';
import {readFrame, wallClock} from '../lib/clock.js';
import {h} from '../lib/dom.js';
import {duration, milliseconds} from '../lib/format.js';
import {chosenHeight, chosenLayer} from '../lib/layers.js';
import {flag} from '../lib/params.js';
import {t} from '../strings.js';
import {WhepPlayer} from '../whep.js';
import {Controls} from './controls.js';
import {helpDialog, pressKey} from './keys.js';
import {QualityMenu} from './menu.js';
import {StatsOverlay} from './overlay.js';
import {Panel} from './panel.js';
import {recordedUrl, Sides} from './sides.js';
import {refusal, Tap} from './tap.js';

const IDLE_MS = 2500;
const ENDED = ['paused', 'offline'];
const ASK_TIMES = 4; // since when: a recording takes a moment to be finished
const ASK_MS = 1500;
const FORWARD = ['statechange', 'no-media', 'media-recovered', 'qualitychange', 'viewercount', 'overload', 'latency', 'reconnecting', 'layers', 'stats', 'chatchannel'];

/**
 * Attributes: src (WHEP endpoint), hls (playlist of the recorded side; "false" for none,
 * by default the one that belongs to src), token, quality ("auto", rid, "720p"), poster;
 * switches that are on unless "false": controls, muted, autoplay, playsinline;
 * switches that are off unless present: stats, nohotkeys; chat (subprotocol of a chat channel,
 * which then comes with "chatchannel").
 *
 * Fires WhepPlayer's events on itself, and "fallback" ({mode, freeze}) when another side
 * is shown: mode is live (WebRTC), fallback (LL-HLS stands in) or behind (the past);
 * and "moment" ({mode, recording, capture}) twice a second: the capture time that is shown.
 * `streamState` is the state of the stream, whichever side is shown, `player` is the WhepPlayer, `video` the element that is shown, `sides` both of them,
 * `readClock()` reads the test clock in the picture.
 */
export class LivePlayer extends HTMLElement {
  static observedAttributes = ['src', 'token'];

  #latency = null;
  #idle = 0;
  #asks = ''; // what the browser has refused
  #actions = this.#makeActions();
  #built = false;

  constructor() {
    super();
    const root = this.attachShadow({mode: 'open'});
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(styles);
    root.adoptedStyleSheets = [sheet];
    this.player = null;
    this.sides = null;
  }

  /** The element that is shown. */
  get video() {
    return this.sides?.front || null;
  }

  connectedCallback() {
    if (!this.#built) this.#build();
    document.addEventListener('fullscreenchange', this.#refresh);
    addEventListener('pagehide', this.#leave);
    this.#start();
  }

  disconnectedCallback() {
    document.removeEventListener('fullscreenchange', this.#refresh);
    removeEventListener('pagehide', this.#leave);
    this.player?.stop();
    this.player = null;
    this.sides.stop();
    this.panel.close();
  }

  attributeChangedCallback(name, was, is) {
    if (this.#built && this.isConnected && was !== is) this.#start();
  }

  /** True when a switch attribute is on. */
  #flag(name, fallback) {
    return flag(this.getAttribute(name), fallback);
  }

  #build() {
    this.#built = true;
    this.sides = new Sides({onSwap: (_, freeze) => this.#swapped(freeze), onMode: () => this.#modeChanged(), onChange: () => this.#sideChanged(), onRefused: (what) => this.#refused(what)}, {playsinline: this.#flag('playsinline', true)});
    this.video.muted = this.#flag('muted', true);
    if (this.getAttribute('poster')) this.video.poster = this.getAttribute('poster');
    this.menu = new QualityMenu((choice) => this.selectQuality(choice));
    this.controls = new Controls(this.#actions, this.menu, this.sides.timeline);
    this.overlay = new StatsOverlay();
    this.overlay.toggle(this.#flag('stats', false));
    this.panel = new Panel({useToken: (token) => this.#useToken(token), retry: () => this.#start()});
    this.help = helpDialog();
    this.badgeText = h('span', {class: 'badge-text'});
    this.badge = h('span', {class: 'badge', hidden: true}, h('span', {class: 'dot'}), this.badgeText);
    this.tap = new Tap(() => this.#tapped());
    this.status = h('div', {class: 'sr', role: 'status', 'aria-live': 'polite'});
    this.frame = h('div', {class: 'frame', 'data-state': 'idle'},
      this.sides.hls, this.sides.rtc, h('div', {class: 'top'}, this.badge), this.panel.element, this.tap.element, this.overlay.element, this.sides.card.element,
      this.#flag('controls', true) && this.controls.element, this.help, this.status);
    this.shadowRoot.append(this.frame);
    this.#listen();
  }

  #listen() {
    for (const video of [this.sides.rtc, this.sides.hls]) {
      for (const type of ['play', 'pause', 'volumechange']) video.addEventListener(type, this.#refresh);
      video.addEventListener('click', (ev) => ev.pointerType !== 'touch' && this.#actions.togglePlay());
      video.addEventListener('dblclick', () => this.#actions.toggleFullscreen());
    }
    for (const type of ['pointermove', 'pointerdown', 'keydown', 'focusin']) this.frame.addEventListener(type, () => this.#wake());
    this.frame.addEventListener('pointerleave', () => this.frame.toggleAttribute('data-idle', true));
    if (!this.hasAttribute('nohotkeys')) this.addEventListener('keydown', (ev) => this.pressKey(ev));
  }

  /** Handles a key event as if the player had the focus. */
  pressKey(ev) {
    return !this.help.open && pressKey(ev, this.#actions);
  }

  #start() {
    this.player?.stop();
    if (!this.getAttribute('src')) return;
    const url = new URL(this.getAttribute('src'), document.baseURI).href;
    const player = new WhepPlayer({url, token: this.getAttribute('token') || '', chat: this.getAttribute('chat') || '', video: this.sides.rtc});
    this.player = player;
    this.#startRecorded(url);
    for (const type of FORWARD) {
      player.addEventListener(type, (ev) => {
        if (this.player !== player) return;
        this.#on(type, ev.detail);
        this.dispatchEvent(new CustomEvent(type, {detail: ev.detail}));
      });
    }
    player.addEventListener('place', ({detail}) => this.player === player && this.getAttribute('hls') === null && this.sides.move(recordedUrl(detail.url)));
    player.addEventListener('stream', () => this.#flag('autoplay', true) && this.sides.playLive());
    player.selectLayer(this.getAttribute('quality') || 'auto');
    this.#pinRecorded();
    player.start();
    this.#refresh();
  }

  #on(type, detail) {
    if (type === 'statechange') this.#state(detail);
    if (type === 'latency') this.#latency = detail;
    if (type === 'layers') this.#pinRecorded();
    if (type === 'stats' && !this.sides.recorded) this.overlay.update(detail, this.#latency);
    if (type === 'layers' || type === 'qualitychange' || type === 'statechange') this.#updateMenu();
    if (type === 'latency' || type === 'statechange') this.#updateBadge();
  }

  #startRecorded(url) {
    const named = this.getAttribute('hls');
    const recorded = named === null ? recordedUrl(url) : named && named !== 'false' ? new URL(named, document.baseURI).href : '';
    this.sides.start(this.player, {url: recorded, token: this.getAttribute('token') || ''});
  }

  #swapped(freeze) {
    const {mode} = this.sides;
    this.#state(this.player);
    if (mode === 'fallback') this.status.textContent = t('player.fallback');
    this.dispatchEvent(new CustomEvent('fallback', {detail: {mode, freeze}}));
  }

  #modeChanged() {
    this.#updateMenu();
    this.#updateBadge();
  }

  #sideChanged() {
    if (this.sides.recorded) this.#modeChanged();
    this.dispatchEvent(new CustomEvent('moment', {detail: this.sides.moment}));
  }

  /** The state of the stream as far as can be seen: it is live where only WebRTC does not get through. */
  get streamState() {
    const state = this.player?.state || 'idle';
    return this.sides.recorded && !ENDED.includes(state) ? 'live' : state;
  }

  /** The state of what is shown: the recorded side plays while WebRTC does not. */
  get #shownState() {
    return this.sides.recorded ? 'live' : this.player?.state;
  }

  #state({state, error}) {
    if (this.sides.recorded) state = 'live';
    this.frame.dataset.state = state;
    this.panel.show(state, error);
    const stopped = state === 'paused' || state === 'offline';
    if (stopped) this.#stoppedSince(state);
    if (state !== 'live') this.#latency = null;
    const text = this.panel.element.querySelector('.panel-title')?.textContent;
    this.status.textContent = state === 'live' ? t('state.live') : text || '';
    this.#refresh();
    if (this.#asks) this.#refused(this.#asks);
  }

  /** The control API knows since when; it may refuse us, then we only know about now. */
  async #stoppedSince(state) {
    if (state === 'paused') this.panel.stoppedAt(Date.now());
    const [, root, stream] = /^(.*)\/whep\/([\w-]+)$/.exec(this.player?.endpoint || '') || [];
    if (!stream) return;
    const token = this.getAttribute('token');
    for (let i = 0; i < ASK_TIMES && this.player?.state === state; i++) {
      if (i) await new Promise((resolve) => setTimeout(resolve, ASK_MS));
      const response = await fetch(`${root}/api/v1/streams/${stream}`, {headers: token ? {Authorization: `Bearer ${token}`} : {}}).catch(() => null);
      const last = response?.ok ? await response.json().catch(() => null) : null;
      if (last?.state !== state || this.player?.state !== state) continue;
      const page = location.pathname.startsWith('/embed/') ? 'embed' : 'watch';
      this.panel.stoppedAt(Date.parse(last.since), last.recording && `${root}/${page}/${stream}?recording=${last.recording}`);
      return;
    }
  }

  #updateMenu() {
    if (this.sides.recorded) {
      const {layers, choice} = this.sides.rewind;
      this.menu.update({layers, choice, height: this.video.videoHeight, available: layers.length > 1});
      return;
    }
    const {layers, choice, stats, canSelectLayer} = this.player;
    this.menu.update({layers, choice: chosenLayer(choice, layers)?.rid || 'auto', height: stats?.video?.height, available: canSelectLayer});
  }

  #updateBadge() {
    const live = this.#shownState === 'live';
    this.badge.hidden = !live;
    this.badge.dataset.via = this.sides.recorded ? (this.sides.mode === 'behind' ? 'past' : 'hls') : 'rtc';
    if (!live) return;
    if (this.sides.recorded) {
      this.#recordedBadge();
      return;
    }
    const ms = this.#latency && milliseconds(this.#latency.ms);
    this.badgeText.textContent = ms ? `${t('player.live')} · ${this.#latency.measured ? '' : '~'}${ms}` : t('player.live');
    this.badge.title = ms ? t(this.#latency.measured ? 'player.latency' : 'player.latencyGuess', {ms}) : '';
  }

  #recordedBadge() {
    const {capture, liveCapture} = this.sides.director;
    const behind = capture && liveCapture ? liveCapture - capture : 1000 * (this.sides.rewind.latency ?? 0);
    const far = this.sides.mode === 'behind';
    const near = behind > 1 ? `${t('player.live')} · ~${milliseconds(behind)}` : t('player.live');
    this.badgeText.textContent = far ? `−${duration(behind)}` : near;
    this.badge.title = far ? t('player.behind', {time: duration(behind)}) : t('player.fallback');
  }

  #refresh = () => {
    this.controls.update(this.video, {stats: this.overlay.open, fullscreen: Boolean(document.fullscreenElement)});
    this.tap.update(this.video, this.#shownState === 'live');
  };

  #leave = () => this.player?.stop({keepalive: true});

  #wake() {
    this.frame.toggleAttribute('data-idle', false);
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => {
      if (!this.menu.open) this.frame.toggleAttribute('data-idle', true);
    }, IDLE_MS);
  }

  #tapped() {
    this.#asks = '';
    this.sides.touched();
    this.video.muted = false;
    if (this.video.paused) this.sides.play();
    this.#refresh();
  }

  /** The button asks for what the browser has refused, also those who do not see it. */
  #refused(what) {
    this.#refresh();
    this.#asks = what;
    if (!this.tap.element.hidden) this.status.textContent = refusal(what);
  }

  #useToken(token) {
    this.dispatchEvent(new CustomEvent('token', {detail: {token}}));
    this.setAttribute('token', token);
  }

  /** The recorded side shows the quality that was chosen, by its height. */
  #pinRecorded() {
    const {choice, layers} = this.player;
    const height = chosenHeight(choice, layers);
    if (height || choice === 'auto') this.sides.rewind?.select(height); // otherwise it is not known yet
  }

  /** Chooses a layer and says so when the server refuses. */
  async selectQuality(choice) {
    const recorded = this.sides.rewind?.layers.find((l) => l.rid === choice);
    try {
      const told = this.player.selectLayer(recorded ? `${recorded.height}p` : choice);
      this.#pinRecorded();
      await told;
    } catch {
      this.status.textContent = t('player.qualityFailed');
    }
    this.#updateMenu();
  }

  #makeActions() {
    const volume = (value) => {
      this.sides.touched();
      this.video.volume = Math.min(1, Math.max(0, value));
      this.video.muted = value <= 0;
    };
    return {
      togglePlay: () => {
        this.sides.touched();
        if (this.video.paused) this.sides.play();
        else this.video.pause();
      },
      toggleMute: () => {
        this.sides.touched();
        this.video.muted = !this.video.muted;
      },
      setVolume: volume,
      nudgeVolume: (by) => volume((this.video.muted ? 0 : this.video.volume) + by),
      toggleStats: () => {
        this.overlay.toggle();
        this.overlay.update(this.player?.stats, this.#latency);
        this.#refresh();
      },
      nudge: (seconds) => this.sides.nudge(seconds),
      nudgeRate: (by) => {
        const rate = this.sides.nudgeRate(by);
        if (rate) this.status.textContent = t('player.rate', {rate: `${rate}×`});
      },
      goLive: () => this.sides.goLive(),
      toggleQuality: () => this.menu.toggle(),
      toggleHelp: () => (this.help.open ? this.help.close() : this.help.showModal()),
      togglePip: () => {
        const open = document.pictureInPictureElement;
        (open ? document.exitPictureInPicture() : this.video.requestPictureInPicture?.())?.catch(() => {});
      },
      toggleFullscreen: () => {
        const open = document.fullscreenElement;
        (open ? document.exitFullscreen() : this.frame.requestFullscreen?.())?.catch(() => {});
      },
    };
  }

  /**
   * Reads the test clock in the next frame that is shown.
   * @returns {Promise<{time: number, latency: number}>} milliseconds; rejects when the frame has no clock
   */
  readClock() {
    const canvas = (this.clockCanvas ||= new OffscreenCanvas(320, 180));
    const ctx = canvas.getContext('2d', {willReadFrequently: true});
    return new Promise((resolve, reject) => {
      this.video.requestVideoFrameCallback((now, frame) => {
        const shown = performance.timeOrigin + Math.max(now, frame.expectedDisplayTime);
        const time = readFrame(ctx, this.video, canvas.width, canvas.height);
        if (time && time < wallClock() + 1000) resolve({time, latency: shown - time});
        else reject(new Error('no clock in this frame'));
      });
    });
  }
}

if (!customElements.get('live-player')) customElements.define('live-player', LivePlayer);
