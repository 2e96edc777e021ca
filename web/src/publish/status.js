// How the stream does: state, time on air, numbers, layers.

import {fill, h} from '../lib/dom.js';
import {bitrate, duration, milliseconds} from '../lib/format.js';
import {t} from '../strings.js';

/** The strip below the preview. */
export class Status {
  #timer = 0;

  constructor() {
    this.pill = h('span', {class: 'pill', role: 'status', 'data-state': 'idle', text: t('publish.state.idle')});
    this.cells = {};
    const cell = (name) => h('div', {class: 'fact'}, h('dt', {text: t(`publish.${name}`)}), (this.cells[name] = h('dd', {text: '–'})));
    this.facts = h('dl', {class: 'facts'}, ['duration', 'sending', 'rtt', 'lost', 'audience', 'health'].map(cell));
    this.reason = h('p', {class: 'field-hint', 'aria-live': 'polite'});
    this.layers = h('ul', {class: 'layers', 'aria-label': t('publish.layers')});
    this.element = h('div', {class: 'status'}, this.facts, this.layers, this.reason);
    this.element.hidden = true;
  }

  /** Follows a publisher's state. */
  state(state, publisher) {
    this.pill.dataset.state = state;
    this.pill.textContent = t(`publish.state.${state}`);
    this.element.hidden = !publisher?.liveSince;
    clearInterval(this.#timer);
    if (!publisher?.liveSince) return;
    const tick = () => (this.cells.duration.textContent = duration(Date.now() - publisher.liveSince));
    tick();
    this.#timer = setInterval(tick, 1000);
  }

  /** Shows a "stats" event of the publisher. */
  stats({bitrate: total, rtt, loss, layers, health, codec}) {
    this.cells.sending.textContent = bitrate(total);
    this.cells.rtt.textContent = rtt === null ? '–' : milliseconds(rtt);
    this.cells.lost.textContent = `${(100 * loss).toFixed(1)} %`;
    fill(this.cells.health, h('span', {class: 'pill', 'data-state': health.level, text: t(`publish.health.${health.level}`)}));
    this.reason.textContent = health.reason ? t(`publish.reason.${health.reason}`) : '';
    fill(this.layers, layers.map((l) => h('li', {class: 'layer', 'data-on': String(l.active)},
      h('strong', {text: l.height ? `${l.height}p` : l.rid || '–'}),
      h('span', {text: l.active ? `${codec} · ${Math.round(l.fps)} fps · ${bitrate(l.bitrate)}` : t('publish.layerOff')}))));
  }

  audience(count) {
    this.cells.audience.textContent = count === null ? '–' : String(count);
  }
}
