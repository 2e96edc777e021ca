// What stands over the picture when there is none: a state, a reason, a way out.

import {fill, h, icon} from '../lib/dom.js';
import {duration} from '../lib/format.js';
import {icons} from '../lib/icons.js';
import {t} from '../strings.js';

/** `actions`: useToken(token), retry(). */
export class Panel {
  #actions;
  #timer = 0;
  #since = 0;
  #clock = null;
  #shown = '';
  #recording = h('a', {class: 'panel-button', hidden: true, text: t('player.watchRecording')});

  constructor(actions) {
    this.#actions = actions;
    this.element = h('div', {class: 'panel', hidden: true});
  }

  /** Shows what a player state asks for; hides when media plays. */
  show(state, error) {
    const key = `${state} ${error?.status || ''} ${error?.code || ''}`;
    if (key === this.#shown) return;
    this.#shown = key;
    clearInterval(this.#timer);
    this.#clock = null;
    const content = contentOf(state, error);
    this.element.hidden = !content;
    this.element.dataset.kind = content?.kind || '';
    if (content) this.#render(content);
  }

  /** When the stream stopped, in milliseconds since the epoch, and where its recording can be seen, if it can. */
  stoppedAt(ms, recording = '') {
    this.#since = ms;
    this.#recording.hidden = !recording;
    if (recording) this.#recording.href = recording;
    this.#tick();
  }

  #render({kind, title, hint, timer, token, retry}) {
    this.#recording.hidden = true;
    if (timer) this.#clock = h('p', {class: 'panel-timer', role: 'timer', hidden: true});
    fill(this.element,
      kind === 'busy' ? h('span', {class: 'spinner', 'aria-hidden': 'true'}) : h('span', {class: 'panel-icon'}, icon(icons[kind])),
      h('p', {class: 'panel-title', text: title}),
      hint && h('p', {class: 'panel-hint', text: hint}),
      this.#clock,
      timer && this.#recording,
      token && this.#tokenForm(),
      retry && h('button', {class: 'panel-button', type: 'button', text: t('player.retry'), on: {click: () => this.#actions.retry()}}));
    if (!timer) return;
    this.#tick();
    this.#timer = setInterval(() => this.#tick(), 1000);
  }

  #tick() {
    if (!this.#clock || !this.#since) return;
    this.#clock.hidden = false;
    this.#clock.textContent = t('player.sinceStop', {time: duration(Date.now() - this.#since)});
  }

  #tokenForm() {
    const input = h('input', {class: 'panel-input', type: 'password', autocomplete: 'off', 'aria-label': t('player.token'), placeholder: t('player.token')});
    return h('form', {class: 'panel-form', on: {submit: (ev) => {
      ev.preventDefault();
      if (input.value) this.#actions.useToken(input.value.trim());
    }}}, input, h('button', {class: 'panel-button', type: 'submit', text: t('player.tokenUse')}));
  }

  close() {
    clearInterval(this.#timer);
  }
}

function contentOf(state, error) {
  switch (state) {
    case 'connecting': return {kind: 'busy', title: t('player.connecting')};
    case 'stalled': return {kind: 'busy', title: t('player.stalled')};
    case 'reconnecting': return reconnecting(error);
    case 'paused': return {kind: 'signal', title: t('player.paused'), hint: t('player.pausedHint'), timer: true};
    case 'offline': return {kind: 'offline', title: t('player.offline'), hint: t('player.offlineHint'), timer: true};
    case 'failed': return failure(error);
    default: return null;
  }
}

function reconnecting(error) {
  if (!error) return {kind: 'busy', title: t('player.reconnecting')};
  const hint = error.status === 0 ? t('player.unreachableHint') : error.message;
  return {kind: 'busy', title: t('player.unreachable'), hint};
}

function failure(error) {
  switch (error?.status) {
    case 401: return {kind: 'warning', title: t('player.denied'), hint: t('player.deniedHint'), token: true};
    case 403: return {kind: 'warning', title: t('player.forbidden'), hint: t('player.forbiddenHint'), token: true};
    case 422: return {kind: 'warning', title: t('player.codec'), hint: error.message, retry: true};
    default: return {kind: 'warning', title: t('player.failed'), hint: error?.message, retry: true};
  }
}
