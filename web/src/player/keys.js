// Keyboard control and its help.

import {h, icon} from '../lib/dom.js';
import {icons} from '../lib/icons.js';
import {t} from '../strings.js';

const KEYS = [
  ['Space  K', 'keys.play'], ['M', 'keys.mute'], ['↑  ↓', 'keys.volume'], ['F', 'keys.fullscreen'],
  ['P', 'keys.pip'], ['Q', 'keys.quality'], ['I', 'keys.stats'], ['J  L', 'keys.seek'], ['←  →', 'keys.step'], ['<  >', 'keys.rate'], ['End', 'keys.live'], ['?', 'keys.help'],
];

/**
 * Does what a key asks for.
 * @returns {boolean} true when the key meant something
 */
export function pressKey(ev, actions) {
  if (ev.ctrlKey || ev.metaKey || ev.altKey) return false;
  const target = ev.composedPath()[0];
  if (target instanceof Element && target.matches('input:not([type=range]), select, textarea, [contenteditable]')) return false;
  const onControl = target instanceof Element && target.matches('button, a[href], input, summary');
  const action = actionOf(ev.key, onControl, actions);
  if (!action) return false;
  ev.preventDefault();
  action();
  return true;
}

function actionOf(key, onControl, actions) {
  switch (key) {
    case ' ': return onControl ? null : actions.togglePlay;
    case 'k': return actions.togglePlay;
    case 'm': return actions.toggleMute;
    case 'f': return actions.toggleFullscreen;
    case 'p': return actions.togglePip;
    case 'q': return actions.toggleQuality;
    case 'i': return actions.toggleStats;
    case '?': return actions.toggleHelp;
    case 'j': return () => actions.nudge(-10);
    case 'l': return () => actions.nudge(10);
    case 'ArrowLeft': return onControl ? null : () => actions.nudge(-5);
    case 'ArrowRight': return onControl ? null : () => actions.nudge(5);
    case '<': return () => actions.nudgeRate(-0.25);
    case '>': return () => actions.nudgeRate(0.25);
    case 'End': return onControl ? null : actions.goLive;
    case 'ArrowUp': return onControl ? null : () => actions.nudgeVolume(0.05);
    case 'ArrowDown': return onControl ? null : () => actions.nudgeVolume(-0.05);
    default: return null;
  }
}

/** The help dialog; native, so that focus stays inside and Escape closes it. */
export function helpDialog() {
  const dialog = h('dialog', {class: 'help-dialog', 'aria-label': t('keys.title')},
    h('div', {class: 'help-head'},
      h('h2', {text: t('keys.title')}),
      h('button', {class: 'control', type: 'button', 'aria-label': t('player.close'), on: {click: () => dialog.close()}}, icon(icons.close))),
    h('dl', {class: 'help-list'}, KEYS.flatMap(([key, text]) => [
      h('dt', {}, key.split('  ').map((k) => h('kbd', {text: k}))),
      h('dd', {text: t(text)}),
    ])));
  return dialog;
}
