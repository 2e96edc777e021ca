// What stands over the preview when something is wrong, with the way out.

import {fill, h, icon} from '../lib/dom.js';
import {icons} from '../lib/icons.js';
import {t} from '../strings.js';

/** `onRetry` opens the source again. */
export class Notice {
  #onRetry;

  constructor(onRetry) {
    this.#onRetry = onRetry;
    this.element = h('div', {class: 'notice', hidden: true, role: 'alert'});
  }

  hide() {
    this.element.hidden = true;
  }

  /** Invites to allow the camera. */
  invite(source) {
    const label = t(source === 'screen' ? 'publish.shareScreen' : 'publish.allow');
    this.#show(icons[source] || icons.camera, t('publish.previewOff'), null, this.#button(label));
  }

  /** Explains why a source did not open. */
  denied(err, source) {
    if (err.name === 'NotAllowedError' && source === 'screen') return this.invite('screen');
    if (err.name === 'NotAllowedError') {
      const steps = ['denied.step1', 'denied.step2', 'denied.step3'].map((key) => h('li', {text: t(key)}));
      return this.#show(icons.warning, t('denied.title'), h('ol', {class: 'steps'}, steps), this.#retry());
    }
    const key = {NotFoundError: 'missing', NotReadableError: 'busy', InsecureError: 'insecure'}[err.name];
    const hint = key ? t(`denied.${key}Hint`) : err.message;
    return this.#show(icons.warning, t(`denied.${key || 'other'}`), h('p', {class: 'muted', text: hint}), this.#retry());
  }

  /** Explains why the server refused the stream. */
  refused(err) {
    const key = {401: 'fail.denied', 403: 'fail.forbidden'}[err.status] || 'fail.other';
    this.#show(icons.warning, t(key), h('p', {class: 'muted', text: err.message}), null);
  }

  #retry() {
    return this.#button(t('denied.retry'));
  }

  #button(text) {
    return h('button', {type: 'button', class: 'button primary', text, on: {click: () => this.#onRetry()}});
  }

  #show(paths, title, body, button) {
    this.element.hidden = false;
    fill(this.element, icon(paths), h('p', {class: 'notice-title', text: title}), body, button);
  }
}
