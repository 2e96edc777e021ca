// <recorded-player src="/vod/{recording}/index.m3u8">: plays a recording.

import styles from '../css/player.css';
import {h} from '../lib/dom.js';
import {flag} from '../lib/params.js';
import {t} from '../strings.js';
import {Controls, startPlaying} from './controls.js';
import {helpDialog, pressKey} from './keys.js';
import {QualityMenu} from './menu.js';
import {Panel} from './panel.js';
import {Rewind} from './rewind.js';
import {refusal, Tap} from './tap.js';
import {Thumbnails} from './thumbnails.js';
import {Timeline} from './timeline.js';

const TICK_MS = 500;

/**
 * Attributes: src (multivariant playlist), token; switches that are on unless
 * "false": controls, autoplay; muted and nohotkeys are off unless present.
 *
 * Fires "moment" ({mode: "recorded", recording, capture}) twice a second, "ready"
 * when it is known what there is, and "token" ({token}) when the viewer gave one.
 */
export class RecordedPlayer extends HTMLElement {
  static observedAttributes = ['src', 'token'];

  #built = false;
  #timer = 0;
  #rewind = null;
  #thumbnails = null;
  #actions = this.#makeActions();

  constructor() {
    super();
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(styles);
    this.attachShadow({mode: 'open'}).adoptedStyleSheets = [sheet];
  }

  connectedCallback() {
    if (!this.#built) this.#build();
    document.addEventListener('fullscreenchange', this.#refresh);
    this.#start();
  }

  disconnectedCallback() {
    document.removeEventListener('fullscreenchange', this.#refresh);
    this.#stop();
    this.panel.close();
  }

  attributeChangedCallback(name, was, is) {
    if (this.#built && this.isConnected && was !== is) this.#start();
  }

  #build() {
    this.#built = true;
    const on = (name, fallback) => flag(this.getAttribute(name), fallback);
    this.video = h('video', {class: 'hls front', playsinline: true, 'aria-label': t('player.recorded')});
    this.video.muted = on('muted', false);
    this.timeline = new Timeline({
      recorded: true, seek: (capture) => this.#rewind?.seek(capture), goLive: () => {},
      look: () => this.#thumbnails?.refresh().catch(() => {}),
      picture: (capture) => this.#thumbnails?.at(capture) ?? Promise.resolve(''),
    });
    this.menu = new QualityMenu((choice) => this.#rewind?.select(this.#rewind.layers.find((l) => l.rid === choice)?.height || 0));
    this.controls = new Controls(this.#actions, this.menu, this.timeline);
    this.controls.stats.hidden = true;
    this.panel = new Panel({retry: () => this.#start(), useToken: (token) => {
      this.dispatchEvent(new CustomEvent('token', {detail: {token}}));
      this.setAttribute('token', token);
    }});
    this.help = helpDialog();
    this.tap = new Tap(() => {
      this.video.muted = false;
      if (this.video.paused) this.#play();
    });
    this.status = h('div', {class: 'sr', role: 'status', 'aria-live': 'polite'});
    this.frame = h('div', {class: 'frame', 'data-state': 'connecting'}, this.video, this.panel.element, this.tap.element, on('controls', true) && this.controls.element, this.help, this.status);
    this.shadowRoot.append(this.frame);
    for (const type of ['play', 'pause', 'volumechange', 'ended']) this.video.addEventListener(type, this.#refresh);
    this.video.addEventListener('click', () => this.#actions.togglePlay());
    if (!this.hasAttribute('nohotkeys')) this.addEventListener('keydown', (ev) => this.pressKey(ev));
  }

  /** Handles a key event as if the player had the focus. */
  pressKey(ev) {
    return !this.help.open && pressKey(ev, this.#actions);
  }

  async #start() {
    this.#stop();
    if (!this.getAttribute('src')) return;
    const options = {video: this.video, url: new URL(this.getAttribute('src'), document.baseURI).href, token: this.getAttribute('token') || ''};
    this.#state('connecting');
    const error = await whyNot(options);
    if (this.#rewind || !this.isConnected) return;
    if (error) return this.#state('failed', error);
    const rewind = new Rewind(options);
    this.#rewind = rewind;
    rewind.addEventListener('levels', () => this.#updateMenu());
    rewind.addEventListener('failed', () => this.#rewind === rewind && this.#state('failed'));
    rewind.addEventListener('painted', () => this.#state('live'));
    const playing = await rewind.start(0); // a show that still runs, too
    if (this.#rewind !== rewind) return;
    if (!playing) return this.#state('failed');
    this.#thumbnails = rewind.thumbnailsUrl ? new Thumbnails(rewind.thumbnailsUrl, options.token) : null;
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    if (flag(this.getAttribute('autoplay'), true)) this.#play();
    else this.video.pause();
    this.dispatchEvent(new CustomEvent('ready'));
  }

  async #play() {
    const refused = await startPlaying(this.video);
    if (refused) this.status.textContent = refusal(refused);
    this.#refresh();
  }

  #stop() {
    clearInterval(this.#timer);
    this.#rewind?.close();
    this.#thumbnails?.close();
    this.#rewind = this.#thumbnails = null;
  }

  #state(state, error) {
    this.frame.dataset.state = state;
    this.panel.show(state, error);
    this.#refresh();
  }

  #tick() {
    const {range, capture, recording} = this.#rewind;
    if (range) this.timeline.update({...range, at: capture ?? range.from, live: false});
    if (range && this.video.readyState > 1) this.#state('live');
    this.#updateMenu();
    this.dispatchEvent(new CustomEvent('moment', {detail: {mode: 'recorded', recording, capture}}));
  }

  /** Where the recording begins and ends, in capture times, or null. */
  get range() {
    return this.#rewind?.range ?? null;
  }

  #updateMenu() {
    const {layers, choice} = this.#rewind;
    this.menu.update({layers, choice, height: this.video.videoHeight, available: layers.length > 1});
  }

  #refresh = () => {
    this.controls.update(this.video, {stats: false, fullscreen: Boolean(document.fullscreenElement)});
    this.tap.update(this.video, this.frame.dataset.state === 'live' && !this.video.ended);
  };

  #makeActions() {
    const volume = (value) => {
      this.video.volume = Math.min(1, Math.max(0, value));
      this.video.muted = value <= 0;
    };
    return {
      togglePlay: () => (this.video.paused ? this.#play() : this.video.pause()),
      toggleMute: () => (this.video.muted = !this.video.muted),
      setVolume: volume,
      nudgeVolume: (by) => volume((this.video.muted ? 0 : this.video.volume) + by),
      nudge: (seconds) => this.#rewind?.capture && this.#rewind.seek(this.#rewind.capture + 1000 * seconds),
      goLive: () => {},
      toggleStats: () => {},
      toggleQuality: () => this.menu.toggle(),
      toggleHelp: () => (this.help.open ? this.help.close() : this.help.showModal()),
      togglePip: () => (document.pictureInPictureElement ? document.exitPictureInPicture() : this.video.requestPictureInPicture?.())?.catch(() => {}),
      toggleFullscreen: () => (document.fullscreenElement ? document.exitFullscreen() : this.frame.requestFullscreen?.())?.catch(() => {}),
    };
  }
}

/** Why a playlist cannot be had, as the panel takes it; null when it can. */
async function whyNot({url, token}) {
  try {
    const response = await fetch(url, token ? {headers: {Authorization: `Bearer ${token}`}} : {});
    if (response.ok) return null;
    return {status: response.status, message: response.status === 404 ? t('player.noRecording') : ''};
  } catch {
    return {status: 0, message: t('player.unreachable')};
  }
}

if (!customElements.get('recorded-player')) customElements.define('recorded-player', RecordedPlayer);
