// The form: source, devices, and how to encode. What is chosen is remembered.

import {sendCodecs} from '../lib/encodings.js';
import {fill, h, icon} from '../lib/dom.js';
import {bitrate} from '../lib/format.js';
import {icons} from '../lib/icons.js';
import {setting} from '../lib/params.js';
import {t} from '../strings.js';
import {SIZES} from './sources.js';

const RATES = [500_000, 1_000_000, 2_500_000, 4_500_000, 6_000_000, 8_000_000];

/**
 * Fires "source" when another source or device is wanted, "encode" when only
 * the encoding changed. `values` is what is chosen.
 */
export class Settings extends EventTarget {
  constructor({clock, token}) {
    super();
    this.source = clock ? 'clock' : 'camera';
    this.tabs = h('div', {class: 'tabs', role: 'radiogroup', 'aria-label': t('publish.source')}, this.#tabs(clock));
    this.camera = this.#select('camera', [], 'source');
    this.mic = this.#select('mic', [], 'source');
    this.voice = this.#check('voice', 'source', true);
    this.height = this.#select('height', Object.keys(SIZES).reverse().map((x) => [x, `${x}p`]), 'source', '720');
    this.fps = this.#select('fps', [['30', '30'], ['60', '60'], ['15', '15']], 'source', '30');
    this.codec = this.#select('codec', sendCodecs().map((c) => [c, c === 'H264' ? 'H.264' : c === 'H265' ? 'H.265' : c]), 'encode');
    this.bitrate = this.#select('bitrate', this.#rates(), 'encode', '0');
    this.simulcast = this.#check('simulcast', 'encode', true);
    this.token = h('input', {class: 'input', id: 'token', type: 'password', autocomplete: 'off', spellcheck: 'false', 'aria-describedby': 'token-hint', on: {input: () => this.#changed('token')}});
    this.token.value = token;
    this.lockNote = h('p', {class: 'field-hint wide', text: t('publish.settingsLocked'), hidden: true});
    this.element = this.#layout();
  }

  get values() {
    return {
      source: this.source,
      camera: this.camera.value,
      mic: this.mic.value,
      voice: this.voice.checked,
      height: Number(this.height.value),
      fps: Number(this.fps.value),
      codec: this.codec.value,
      bitrate: Number(this.bitrate.value),
      simulcast: this.simulcast.checked,
      token: this.token.value.trim(),
    };
  }

  #tabs(clock) {
    const names = clock ? ['camera', 'screen', 'clock'] : ['camera', 'screen'];
    return names.map((name) => h('button', {
      type: 'button', class: 'tab', role: 'radio', 'aria-checked': String(name === this.source), 'data-source': name,
      tabindex: name === this.source ? '0' : '-1',
      on: {click: () => this.choose(name), keydown: (ev) => this.#arrow(ev, names)},
    }, icon(icons[name]), t(`publish.${name}`)));
  }

  #arrow(ev, names) {
    const by = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[ev.key];
    if (!by) return;
    ev.preventDefault();
    this.choose(names[(names.indexOf(this.source) + by + names.length) % names.length]);
    this.tabs.querySelector('[aria-checked="true"]').focus();
  }

  /** Chooses a source as a click on its tab does. */
  choose(source, quietly = false) {
    this.source = source;
    for (const tab of this.tabs.children) {
      const on = tab.dataset.source === source;
      tab.setAttribute('aria-checked', String(on));
      tab.tabIndex = on ? 0 : -1;
    }
    this.cameraField.hidden = source !== 'camera';
    if (!quietly) this.dispatchEvent(new Event('source'));
  }

  #select(name, options, event, fallback = '') {
    const select = h('select', {id: name, on: {change: () => this.#changed(event, name, select.value)}});
    fill(select, options.map(([value, text]) => h('option', {value, text})));
    const kept = setting(name) || fallback;
    if (options.some(([value]) => value === kept)) select.value = kept;
    return select;
  }

  #check(name, event, fallback) {
    const box = h('input', {type: 'checkbox', id: name, class: 'switch', role: 'switch', 'aria-describedby': `${name}-hint`, on: {change: () => this.#changed(event, name, String(box.checked))}});
    const kept = setting(name);
    box.checked = kept ? kept === 'true' : fallback;
    return box;
  }

  #changed(event, name, value) {
    if (name) setting(name, value);
    this.dispatchEvent(new Event(event));
  }

  #rates() {
    return [['0', t('publish.bitrateAuto')], ...RATES.map((r) => [String(r), bitrate(r)])];
  }

  /** Shows the devices there are; keeps or restores the choice. */
  devices({cameras, mics}) {
    const options = (devices) => devices.filter((d) => d.deviceId).map((d, i) => [d.deviceId, d.label || t('publish.device', {n: i + 1})]);
    const any = [['', t('publish.anyDevice')]]; // names are told after the permission
    const cams = options(cameras);
    const micros = options(mics);
    this.#fillDevices(this.camera, 'camera', cams.length ? cams : any);
    this.#fillDevices(this.mic, 'mic', [...(micros.length ? micros : any), ['none', t('publish.noMic')]]);
  }

  #fillDevices(select, name, options) {
    const wanted = select.value || setting(name);
    fill(select, options.map(([value, text]) => h('option', {value, text})));
    if (options.some(([value]) => value === wanted)) select.value = wanted;
  }

  /** While live, what needs a new session cannot be changed. */
  lock(on) {
    for (const el of [this.height, this.fps, this.codec, this.bitrate, this.simulcast, this.token]) el.disabled = on;
    this.lockNote.hidden = !on;
  }

  #layout() {
    const field = (name, label, control, hint) => h('div', {class: 'field'}, h('label', {for: name, text: label}), control, hint);
    const toggle = (name, box) => h('div', {class: 'toggle wide'},
      h('label', {for: name}, h('span', {class: 'toggle-name', text: t(`publish.${name}`)}), h('span', {class: 'field-hint', id: `${name}-hint`, text: t(`publish.${name}Hint`)})), box);
    this.cameraField = field('camera', t('publish.cameraDevice'), this.camera);
    this.cameraField.hidden = this.source !== 'camera';
    this.micSlot = h('div', {class: 'mic-slot'});
    return h('form', {class: 'settings', on: {submit: (ev) => ev.preventDefault()}},
      h('div', {class: 'wide'}, this.tabs),
      this.cameraField,
      field('mic', t('publish.micDevice'), this.mic, this.micSlot),
      toggle('voice', this.voice),
      field('height', t('publish.resolution'), this.height), field('fps', t('publish.fps'), this.fps),
      field('codec', t('publish.codec'), this.codec), field('bitrate', t('publish.bitrate'), this.bitrate),
      toggle('simulcast', this.simulcast),
      h('div', {class: 'field wide'}, h('label', {for: 'token', text: t('publish.token')}), this.token, h('p', {class: 'field-hint', id: 'token-hint', text: t('publish.tokenHint')})),
      this.lockNote);
  }
}
