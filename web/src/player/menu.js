// The quality menu: Auto and one entry for each layer.

import {fill, h, icon} from '../lib/dom.js';
import {bitrate} from '../lib/format.js';
import {icons} from '../lib/icons.js';
import {layerName} from '../lib/layers.js';
import {t} from '../strings.js';

/** A menu button (ARIA menu pattern). `onPick(choice)` gets "auto" or a rid. */
export class QualityMenu {
  #onPick;
  #layers = [];
  #choice = 'auto';
  #height = 0;
  #key = '';

  constructor(onPick) {
    this.#onPick = onPick;
    this.label = h('span', {class: 'quality-label', 'aria-hidden': 'true'});
    this.button = h('button', {
      class: 'control quality', type: 'button', 'aria-haspopup': 'menu', 'aria-expanded': 'false',
      'aria-label': t('player.quality'), title: `${t('player.quality')} (q)`, hidden: true,
      on: {click: () => this.toggle()},
    }, icon(icons.quality), this.label);
    this.list = h('div', {class: 'menu', role: 'menu', 'aria-label': t('player.quality'), hidden: true, on: {keydown: (ev) => this.#keys(ev)}});
    this.element = h('div', {class: 'menu-holder', on: {focusout: (ev) => this.#left(ev)}}, this.button, this.list);
  }

  get open() {
    return !this.list.hidden;
  }

  update({layers, choice, height, available}) {
    this.#layers = layers;
    this.#choice = choice;
    this.#height = height || this.#height;
    this.button.hidden = !available;
    if (!available) this.close();
    this.label.textContent = this.#name();
    this.button.setAttribute('aria-label', `${t('player.quality')}: ${this.#name()}`);
    if (this.open) this.#render();
  }

  #name() {
    const picked = this.#layers.find((l) => l.rid === this.#choice);
    if (picked) return layerName(picked);
    return this.#height ? `${t('player.auto')} ${this.#height}p` : t('player.auto');
  }

  #render() {
    const key = JSON.stringify([this.#layers.map((l) => [l.rid, l.height, l.active, Math.round(l.bitrate / 1e5)]), this.#choice]);
    if (key === this.#key) return;
    this.#key = key;
    const focused = this.list.getRootNode().activeElement?.dataset?.choice;
    const picked = this.#layers.some((l) => l.rid === this.#choice) ? this.#choice : 'auto';
    const items = [{choice: 'auto', name: t('player.auto'), note: ''}].concat(this.#layers.map((l) => ({
      choice: l.rid, name: layerName(l), note: l.bitrate ? bitrate(l.bitrate) : '', off: !l.active,
    })));
    fill(this.list, items.map((item) => this.#item(item, item.choice === picked)));
    if (focused) this.list.querySelector(`[data-choice="${CSS.escape(focused)}"]`)?.focus();
  }

  #item({choice, name, note, off}, checked) {
    return h('button', {
      class: 'menu-item', type: 'button', role: 'menuitemradio', tabindex: '-1', 'data-choice': choice,
      'aria-checked': String(checked), 'aria-disabled': off ? 'true' : null,
      on: {click: () => this.#pick(choice)},
    }, h('span', {class: 'tick'}, checked && icon(icons.check)), h('span', {class: 'menu-name', text: name}), h('span', {class: 'menu-note', text: note}));
  }

  #pick(choice) {
    this.close();
    this.button.focus();
    this.#onPick(choice);
  }

  toggle() {
    if (this.open) this.close();
    else this.#show();
  }

  #show() {
    if (this.button.hidden) return;
    this.#key = '';
    this.list.hidden = false;
    this.button.setAttribute('aria-expanded', 'true');
    this.#render();
    (this.list.querySelector('[aria-checked="true"]') || this.list.firstElementChild)?.focus();
  }

  close() {
    this.list.hidden = true;
    this.button.setAttribute('aria-expanded', 'false');
  }

  #left(ev) {
    if (ev.relatedTarget && !this.element.contains(ev.relatedTarget)) this.close();
  }

  #keys(ev) {
    const items = [...this.list.children];
    const at = items.indexOf(ev.target.closest('[role]'));
    const to = {ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1}[ev.key];
    if (to !== undefined) {
      items[(to + items.length) % items.length].focus();
    } else if (ev.key === 'Escape' || ev.key === 'q') {
      this.close();
      this.button.focus();
    } else if (ev.key !== ' ' && ev.key !== 'Enter' && ev.key !== 'Tab') {
      return;
    }
    ev.stopPropagation();
    if (to !== undefined || ev.key === 'Escape') ev.preventDefault();
  }
}
