// The seek bar and the button back to live.

import {fill, h, icon} from '../lib/dom.js';
import {duration} from '../lib/format.js';
import {icons} from '../lib/icons.js';
import {t} from '../strings.js';

const NEAR_LIVE_S = 4; // this near to the end, the bar means live

/**
 * `actions`: seek(capture), goLive(), look() (somebody may want to seek), picture(capture) → Promise of a URL;
 * recorded: the end is not the live edge.
 */
export class Timeline {
  #actions;
  #from = 0;
  #to = 0;
  #held = false;
  #shown = 0;

  constructor(actions) {
    this.#actions = actions;
    this.slider = h('input', {
      class: 'seek', type: 'range', min: '0', max: '0', step: '1', 'aria-label': t('player.timeline'),
      on: {
        input: () => this.#scrub(), change: () => this.#drop(), focus: () => actions.look(),
        pointermove: (ev) => this.#hover(ev), pointerleave: () => (this.preview.hidden = true),
        pointerenter: () => actions.look(), pointerdown: () => (this.#held = true),
      },
    });
    this.picture = h('img', {class: 'thumb', alt: '', hidden: true});
    this.time = h('span', {class: 'thumb-time'});
    this.preview = h('div', {class: 'preview', hidden: true, 'aria-hidden': 'true'}, this.picture, this.time);
    this.live = h('button', {class: 'control go-live-now', type: 'button', 'aria-label': t('player.goLive'), title: `${t('player.goLive')} (End)`, on: {click: () => actions.goLive()}},
      icon(icons.signal), h('span', {class: 'live-label', text: t('player.live')}));
    this.element = h('div', {class: 'timeline', hidden: true}, this.preview, this.slider, !actions.recorded && this.live);
  }

  /** Times in milliseconds; `at` is what is shown, `live` whether that is the live edge. */
  update({from, to, at, live}) {
    const ok = from > 0 && (this.#actions.recorded || to - from > 1000 * NEAR_LIVE_S);
    this.element.hidden = !ok;
    if (!ok) return;
    this.live.setAttribute('aria-pressed', String(live));
    this.live.disabled = live;
    if (this.#held) return;
    this.#from = from;
    this.#to = to;
    this.slider.max = String(Math.round((to - from) / 1000));
    this.slider.value = String(live ? this.slider.max : Math.round((at - from) / 1000));
    this.#say(live ? 0 : to - at);
  }

  #say(behindMs) {
    const text = this.#actions.recorded ? this.#position(behindMs)
      : behindMs < 1000 * NEAR_LIVE_S ? t('player.live') : t('player.behind', {time: duration(behindMs)});
    if (this.slider.getAttribute('aria-valuetext') !== text) this.slider.setAttribute('aria-valuetext', text);
    this.slider.style.setProperty('--played', `${(100 * Number(this.slider.value)) / Math.max(1, Number(this.slider.max))}%`);
  }

  #position(behindMs) {
    const length = this.#to - this.#from;
    return t('player.position', {time: duration(length - behindMs), length: duration(length)});
  }

  #capture(second) {
    return this.#from + 1000 * second;
  }

  #scrub() {
    this.#held = true;
    const second = Number(this.slider.value);
    this.#say(this.#to - this.#capture(second));
    this.#show(second / Math.max(1, Number(this.slider.max)), second);
  }

  #drop() {
    this.#held = false;
    this.preview.hidden = true;
    const second = Number(this.slider.value);
    if (Number(this.slider.max) - second < NEAR_LIVE_S && !this.#actions.recorded) this.#actions.goLive();
    else this.#actions.seek(this.#capture(second));
  }

  #hover(ev) {
    const box = this.slider.getBoundingClientRect();
    const part = Math.min(1, Math.max(0, (ev.clientX - box.left) / box.width));
    this.#show(part, part * Number(this.slider.max));
  }

  async #show(part, second) {
    const turn = ++this.#shown;
    this.preview.hidden = false;
    this.preview.style.setProperty('--at', `${(100 * part).toFixed(2)}%`);
    const behind = this.#to - this.#capture(second);
    this.time.textContent = this.#actions.recorded ? duration(this.#to - this.#from - behind)
      : behind < 1000 * NEAR_LIVE_S ? t('player.live') : `−${duration(behind)}`;
    const url = await this.#actions.picture(this.#capture(second)).catch(() => '');
    if (turn !== this.#shown) return;
    this.picture.hidden = !url;
    if (url) this.picture.src = url;
  }
}

/** Asks what to do after the stream has come back. `actions`: catchUp(), goLive(). */
export class ReturnCard {
  #timer = 0;

  constructor(actions) {
    const button = (key, action) => h('button', {class: 'panel-button', type: 'button', text: t(key), on: {click: () => {
      this.hide();
      action();
    }}});
    this.text = h('p', {class: 'return-text'});
    this.element = h('div', {class: 'return-card', role: 'region', 'aria-label': t('player.returned'), hidden: true},
      this.text, h('div', {class: 'return-choices'}, button('player.catchUp', actions.catchUp), button('player.goLive', actions.goLive)));
  }

  show(missedMs) {
    fill(this.text, t('player.returnedHint', {time: duration(missedMs)}));
    this.element.hidden = false;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.hide(), 20_000);
  }

  hide() {
    clearTimeout(this.#timer);
    this.element.hidden = true;
  }
}
