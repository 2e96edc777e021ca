// What every page has: the header and a place for its content.

import {h, icon} from '../lib/dom.js';
import {t} from '../strings.js';

const MARK = ['M4 4h4.500v16H4z', 'M9.800 8.500c3.400 0 3.400 3 6.800 3 1.500 0 2.500-.500 3.400-1.300v3.600c-.9.800-1.900 1.300-3.400 1.300-3.400 0-3.400-3-6.800-3z', 'M9.800 14.500c3.400 0 3.400 3 6.800 3 1.500 0 2.500-.500 3.400-1.300V20H9.800z'];

/**
 * Puts header and main into the body.
 * @returns {HTMLElement} the main element
 */
export function page(name, content, {title = '', aside = null} = {}) {
  const main = h('main', {class: 'page', id: 'content', tabindex: '-1'}, content);
  document.body.classList.add(name);
  document.body.prepend(
    h('a', {class: 'skip', href: '#content', text: t('app.skip')}),
    h('header', {class: 'head'},
      h('a', {class: 'brand', href: '/', 'aria-label': t('app.home')}, icon(MARK), h('span', {text: 'Sluice'})),
      title && h('span', {class: 'head-title', text: title}),
      h('span', {class: 'space'}), aside),
    main);
  return main;
}

/** Copies text; true when the browser let us. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

// Pages without HTTPS have no clipboard API.
function copyBySelection(text) {
  const area = h('textarea', {'aria-hidden': 'true', tabindex: '-1', class: 'sr'});
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand('copy');
  area.remove();
  return done;
}

/** A button that copies and says so for two seconds. */
export function copyButton(label, value, props = {}) {
  const text = h('span', {text: label, 'aria-live': 'polite'});
  return h('button', {type: 'button', class: 'button quiet', ...props, on: {click: async () => {
    if (!(await copy(value()))) return;
    text.textContent = t('watch.copied');
    setTimeout(() => (text.textContent = label), 2000);
  }}}, text);
}
