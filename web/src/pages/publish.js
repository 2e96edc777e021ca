// The publish page.

import {makeChat, wantsChat} from '../chat/index.js';
import {getStream, poll} from '../lib/api.js';
import {fill, h, icon} from '../lib/dom.js';
import {icons} from '../lib/icons.js';
import {flag, pageParams, streamName} from '../lib/params.js';
import {EncoderCard} from '../publish/card.js';
import {MicMeter} from '../publish/meter.js';
import {Notice} from '../publish/notice.js';
import {Settings} from '../publish/settings.js';
import {alreadyAllowed, listDevices, openSource} from '../publish/sources.js';
import {Status} from '../publish/status.js';
import {t} from '../strings.js';
import {WhipPublisher} from '../whip.js';
import {copyButton, page} from './frame.js';

const POLL_MS = 2000;

class PublishPage {
  #stream = streamName();
  #params = pageParams(this.#stream);
  #settings = new Settings({clock: flag(this.#params.query.get('clock'), false), token: this.#params.token});
  #status = new Status();
  #meter = new MicMeter();
  #notice = new Notice(() => this.#open());
  #card = new EncoderCard(this.#stream, () => this.#settings.values.token);
  #media = null;
  #opening = null;
  #lock = null;
  #chat = wantsChat(this.#params.query, true) ? makeChat(this.#stream, {token: this.#params.token}) : null;

  constructor() {
    this.publisher = null;
    this.video = h('video', {muted: true, autoplay: true, playsinline: true, 'aria-label': t('publish.preview')});
    this.video.muted = true;
    this.banner = h('p', {class: 'banner', role: 'alert', hidden: true});
    this.button = h('button', {type: 'button', class: 'button primary go-live', on: {click: () => this.#toggle()}});
    this.#label(false);
  }

  show() {
    document.title = t('publish.title', {stream: this.#stream});
    this.#settings.micSlot.append(this.#meter.element);
    const watch = h('a', {class: 'button quiet', href: `/watch/${this.#stream}`, target: '_blank', rel: 'noopener', text: t('publish.watchLink')});
    page('publish', [
      h('h1', {class: 'sr', text: `${t('publish.heading')}: ${this.#stream}`}),
      h('div', {class: 'studio'},
        h('div', {class: 'left'},
          h('div', {class: 'preview'}, this.video, this.#notice.element, this.banner),
          h('div', {class: 'go-bar'}, this.#status.pill, h('span', {class: 'space'}), watch,
            copyButton(t('watch.share'), () => `${location.origin}/watch/${this.#stream}`), this.button),
          this.#status.element,
          this.#card.element),
        h('div', {class: 'right'}, h('div', {class: 'card'}, this.#settings.element), this.#chat?.element)),
    ], {title: this.#stream});
    this.#settings.addEventListener('source', () => this.#open());
    this.#settings.addEventListener('token', () => {
      this.#card.refresh();
      this.#chat?.token(this.#settings.values.token);
    });
    addEventListener('pagehide', () => this.publisher?.stop({keepalive: true}));
    addEventListener('beforeunload', (ev) => this.publisher?.state === 'live' && ev.preventDefault());
    navigator.mediaDevices?.addEventListener('devicechange', () => this.#refreshDevices());
    poll(POLL_MS, () => this.#ask());
    this.#first();
  }

  get #onAir() {
    return ['connecting', 'live', 'reconnecting'].includes(this.publisher?.state);
  }

  async #first() {
    await this.#refreshDevices();
    const allowed = this.#settings.source === 'clock' || (await alreadyAllowed());
    if (this.#opening) return; // somebody was faster
    if (allowed) this.#open();
    else if (!navigator.mediaDevices) this.#notice.denied(new DOMException('', 'InsecureError'), 'camera');
    else this.#notice.invite('camera');
  }

  async #refreshDevices() {
    this.#settings.devices(await listDevices());
  }

  /**
   * Opens the chosen source; a live stream goes on with its tracks. Of several
   * calls the last one counts.
   * @returns {Promise<boolean>} whether there is a picture now
   */
  #open() {
    const turn = this.#openSource(() => turn === this.#opening);
    this.#opening = turn;
    return turn;
  }

  async #openSource(current) {
    await null; // the caller notes the turn first
    const values = this.#settings.values;
    let media;
    try {
      media = await openSource(values);
    } catch (err) {
      if (!current()) return this.#opening;
      this.#failed(err, values.source);
      return false;
    }
    if (!current()) {
      media.getTracks().forEach((track) => track.stop());
      return this.#opening;
    }
    this.#notice.hide();
    await this.#use(media, values.source);
    this.#refreshDevices();
    return true;
  }

  #failed(err, source) {
    if (this.#media && this.#onAir) {
      this.#settings.choose('camera', true); // the old picture goes on
      return;
    }
    this.#dropMedia();
    this.#opening = null;
    this.#notice.denied(err, source);
  }

  async #use(media, source) {
    const old = this.#media;
    this.#media = media;
    this.video.srcObject = media;
    this.video.classList.toggle('mirror', source === 'camera');
    this.#meter.follow(media);
    if (this.#onAir) await Promise.all(media.getTracks().map((track) => this.publisher.replaceTrack(track)));
    old?.getTracks().forEach((track) => track.stop());
    if (source !== 'screen') return;
    media.getVideoTracks()[0].addEventListener('ended', () => this.#media === media && this.#settings.choose('camera'));
  }

  #dropMedia() {
    this.#media?.getTracks().forEach((track) => track.stop());
    this.#media = null;
    this.video.srcObject = null;
    this.#meter.follow(null);
  }

  async #toggle() {
    if (this.#onAir) return this.publisher.stop();
    if (!this.#media && !(await (this.#opening || this.#open()))) return;
    if (!this.#media) return;
    this.#notice.hide();
    const {token, simulcast, codec, bitrate} = this.#settings.values;
    this.#params.saveToken(token);
    const publisher = new WhipPublisher({url: `/whip/${this.#stream}`, token, simulcast, videoCodec: codec, videoBitrate: bitrate, chat: this.#chat?.protocol});
    this.publisher = publisher;
    publisher.addEventListener('statechange', ({detail}) => this.#state(detail));
    publisher.addEventListener('chatchannel', ({detail}) => this.#chat?.channel(detail.channel));
    publisher.addEventListener('stats', ({detail}) => this.#status.stats(detail));
    publisher.addEventListener('reconnecting', ({detail}) => this.#reconnecting(detail));
    publisher.publish(new MediaStream(this.#media.getTracks()));
  }

  #state({state, error}) {
    this.#status.state(state, this.publisher);
    this.#settings.lock(this.#onAir);
    this.#label(this.#onAir);
    this.banner.hidden = state !== 'reconnecting';
    if (state === 'reconnecting') this.#reconnecting({reason: ''});
    if (state === 'failed') this.#notice.refused(error);
    if (state === 'failed' && error.status === 401) this.#settings.token.focus();
    this.#keepAwake(this.#onAir);
  }

  #reconnecting({reason}) {
    const text = reason === 'stream-busy' ? t('publish.busy') : `${t('publish.reconnectTitle')}. ${t('publish.reconnect')}`;
    if (this.banner.textContent !== text) fill(this.banner, icon(icons.warning), h('span', {text}));
  }

  #label(live) {
    this.button.className = `button go-live ${live ? 'danger' : 'primary'}`;
    fill(this.button, icon(live ? icons.close : icons.signal), t(live ? 'publish.stop' : 'publish.start'));
  }

  async #keepAwake(on) {
    try {
      if (on && !this.#lock) this.#lock = await navigator.wakeLock.request('screen');
      if (!on) await this.#lock?.release();
    } catch {
      // The screen may sleep then.
    }
    if (!on) this.#lock = null;
  }

  /** What the server knows about the stream. */
  async #ask() {
    try {
      const snapshot = await getStream(this.#stream, this.#settings.values.token);
      this.#card.stream(snapshot);
      this.#status.audience(snapshot.viewers ?? 0);
    } catch {
      this.#card.stream(null);
      this.#status.audience(null);
    }
  }
}

const studio = new PublishPage();
studio.show();
globalThis.studio = studio; // for the console
