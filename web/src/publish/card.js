// The card for people who use an encoder: OBS, FFmpeg, GStreamer.

import {fill, h, icon} from '../lib/dom.js';
import {icons} from '../lib/icons.js';
import {layerName} from '../lib/layers.js';
import {copyButton} from '../pages/frame.js';
import {t} from '../strings.js';

/** `token` is read when it is shown, so that the form and the card agree. */
export class EncoderCard {
  #stream;
  #token;
  #url;

  constructor(stream, token) {
    this.#stream = stream;
    this.#token = token;
    this.#url = `${location.origin}/whip/${stream}`;
    this.received = h('p', {class: 'received', role: 'status', text: t('card.waiting')});
    this.secret = h('code', {class: 'value'});
    this.reveal = h('button', {type: 'button', class: 'button quiet', text: t('card.reveal'), 'aria-pressed': 'false', on: {click: () => this.#toggle()}});
    this.ffmpeg = h('pre', {class: 'code', tabindex: '0'});
    this.gstreamer = h('pre', {class: 'code', tabindex: '0'});
    this.note = h('p', {class: 'field-hint', text: t('card.open')});
    this.element = h('section', {class: 'card encoders', 'aria-labelledby': 'encoders'},
      h('div', {class: 'card-head'}, h('div', {}, h('h2', {id: 'encoders', text: t('card.title')}), h('p', {class: 'muted', text: t('card.lead')})), this.received),
      this.#tabs());
    this.refresh();
  }

  get #bearer() {
    return this.#token() || this.#stream;
  }

  #toggle() {
    this.reveal.setAttribute('aria-pressed', String(this.reveal.getAttribute('aria-pressed') !== 'true'));
    this.refresh();
  }

  /** Writes URL, token and commands anew. */
  refresh() {
    const shown = this.reveal.getAttribute('aria-pressed') === 'true';
    const secret = shown ? this.#bearer : '••••••••••••';
    this.reveal.textContent = t(shown ? 'card.hide' : 'card.reveal');
    this.secret.textContent = secret;
    this.note.hidden = Boolean(this.#token());
    this.ffmpeg.textContent = ffmpeg(this.#url, secret);
    this.gstreamer.textContent = gstreamer(this.#url, secret);
  }

  #tabs() {
    const panels = {OBS: this.#obs(), FFmpeg: this.#command('ffmpeg', ffmpeg), GStreamer: this.#command('gstreamer', gstreamer)};
    const names = Object.keys(panels);
    const tabs = names.map((name, i) => h('button', {
      type: 'button', role: 'tab', class: 'tab', id: `tab-${name}`, 'aria-controls': `panel-${name}`, 'aria-selected': String(i === 0), tabindex: i ? '-1' : '0', text: name,
      on: {click: () => select(i), keydown: (ev) => {
        const by = {ArrowRight: 1, ArrowLeft: -1}[ev.key];
        if (by) select((i + by + names.length) % names.length, true);
      }},
    }));
    const select = (at, focus) => names.forEach((name, i) => {
      tabs[i].setAttribute('aria-selected', String(i === at));
      tabs[i].tabIndex = i === at ? 0 : -1;
      panels[name].hidden = i !== at;
      if (focus && i === at) tabs[i].focus();
    });
    names.forEach((name, i) => {
      panels[name].id = `panel-${name}`;
      panels[name].setAttribute('role', 'tabpanel');
      panels[name].setAttribute('aria-labelledby', `tab-${name}`);
      panels[name].hidden = i !== 0;
    });
    return h('div', {}, h('div', {class: 'tabs', role: 'tablist', 'aria-label': t('card.title')}, tabs), Object.values(panels));
  }

  #obs() {
    const copy = (what, value) => copyButton(t('card.copy'), value, {'aria-label': t('card.copyWhat', {what})});
    const row = (name, value, ...buttons) => h('div', {class: 'row'}, h('dt', {text: name}), h('dd', {}, value, h('span', {class: 'row-buttons'}, buttons)));
    const plain = (key, value) => h('div', {class: 'row plain'}, h('dt', {text: t(key)}), h('dd', {text: value}));
    return h('div', {class: 'panel-obs'},
      h('div', {},
        h('p', {class: 'muted small', text: t('card.obsHint')}),
        h('dl', {class: 'rows'},
          row(t('card.service'), h('code', {class: 'value', text: 'WHIP'})),
          row(t('card.url'), h('code', {class: 'value', text: this.#url}), copy(t('card.url'), () => this.#url)),
          row(t('card.token'), this.secret, this.reveal, copy(t('card.token'), () => this.#bearer))),
        this.note),
      h('div', {},
        h('h3', {text: t('card.recommended')}),
        h('dl', {class: 'rows'},
          plain('card.keyframe', t('card.keyframeValue')), plain('card.bframes', '0'), plain('card.profile', t('card.profileValue')),
          plain('card.tune', 'zerolatency'), plain('card.audio', 'Opus, 48 kHz'), plain('card.rate', t('card.rateValue')))));
  }

  #command(name, make) {
    return h('div', {class: 'panel-command'},
      h('p', {class: 'muted small', text: t(name === 'ffmpeg' ? 'card.ffmpegHint' : 'card.gstHint')}),
      this[name],
      copyButton(t('card.copy'), () => make(this.#url, this.#bearer), {'aria-label': t('card.copyWhat', {what: name}), class: 'button'}));
  }

  /** What the control API says about the stream; null when it does not say. */
  stream(snapshot) {
    const live = snapshot?.state === 'live';
    const layers = (snapshot?.layers || []).filter((l) => l.active);
    const names = layers.map((l) => layerName({rid: l.rid, height: l.height, fps: l.frameRate})).join(', ');
    this.received.dataset.live = String(live);
    const text = live ? t('publish.received', {layers: names || '…'}) : t('card.waiting');
    if (this.received.textContent !== text) fill(this.received, live && icon(icons.check), text);
  }
}

function ffmpeg(url, token) {
  return `ffmpeg -re -i input.mp4 \\
  -c:v libx264 -profile:v baseline -preset veryfast -tune zerolatency \\
  -bf 0 -g 60 -b:v 2500k -pix_fmt yuv420p \\
  -c:a libopus -ar 48000 -ac 2 -b:a 128k \\
  -f whip -authorization "${token}" \\
  "${url}"`;
}

function gstreamer(url, token) {
  return `gst-launch-1.0 whipclientsink name=out \\
  signaller::whip-endpoint="${url}" \\
  signaller::auth-token="${token}" \\
  videotestsrc is-live=true ! video/x-raw,width=1280,height=720,framerate=30/1 ! queue ! out. \\
  audiotestsrc is-live=true ! audioconvert ! audioresample ! queue ! out.`;
}
