// The start page: a name to publish or watch, and who is live.

import {listStreams, poll} from '../lib/api.js';
import {fill, h, icon} from '../lib/dom.js';
import {duration} from '../lib/format.js';
import {icons} from '../lib/icons.js';
import {layerName} from '../lib/layers.js';
import {pageParams, setting, validName} from '../lib/params.js';
import {t} from '../strings.js';
import {page} from './frame.js';

const POLL_MS = 3000;

const params = pageParams('home');
const streams = h('div', {});
const count = h('span', {class: 'muted'});

page('home', [
  h('section', {class: 'hero'}, h('h1', {text: t('home.title')}), h('p', {class: 'lead', text: t('home.lead')}), form()),
  h('section', {'aria-labelledby': 'live'},
    h('div', {class: 'streams-head'}, h('h2', {id: 'live', text: t('home.streams')}), count), streams),
]);
blank('signal', t('home.loading'), '');
poll(POLL_MS, refresh);

function form() {
  const input = h('input', {class: 'input', id: 'name', name: 'stream', autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false', maxlength: '64', placeholder: t('home.name'), 'aria-describedby': 'note'});
  input.value = setting('name');
  const note = h('p', {class: 'go-note field-hint', id: 'note', text: t('home.nameHint'), 'aria-live': 'polite'});
  const go = (to) => {
    const name = input.value.trim();
    const ok = validName(name);
    input.setAttribute('aria-invalid', String(!ok));
    note.textContent = t(ok ? 'home.nameHint' : 'home.nameBad');
    note.className = `go-note ${ok ? 'field-hint' : 'field-error'}`;
    if (!ok) return input.focus();
    setting('name', name);
    location.href = `/${to}/${name}${location.search}`;
  };
  return h('form', {class: 'go', novalidate: true, on: {submit: (ev) => {
    ev.preventDefault();
    go(ev.submitter?.value || 'watch');
  }}},
  h('div', {class: 'field'}, h('label', {class: 'sr', for: 'name', text: t('home.name')}), input),
  h('button', {class: 'button primary', type: 'submit', value: 'publish'}, icon(icons.signal), t('home.publish')),
  h('button', {class: 'button', type: 'submit', value: 'watch'}, icon(icons.play), t('home.watch')),
  note);
}

async function refresh() {
  try {
    const items = (await listStreams(params.token)).filter((s) => s.state !== 'offline');
    count.textContent = items.length ? String(items.length) : '';
    if (items.length) fill(streams, h('ul', {class: 'grid'}, items.map((s) => h('li', {}, tile(s)))));
    else blank('camera', t('home.empty'), t('home.emptyHint'));
  } catch (err) {
    count.textContent = '';
    const denied = err.status === 401 || err.status === 403;
    blank('warning', t(denied ? 'home.denied' : 'home.lost'), t(denied ? 'home.deniedHint' : 'home.lostHint'));
  }
}

function tile(stream) {
  const layers = stream.layers || [];
  const best = layers[0];
  const video = best ? `${layerName({rid: best.rid, height: best.height, fps: best.frameRate})} ${best.codec || ''}` : t('home.audioOnly');
  return h('a', {class: 'tile', href: `/watch/${encodeURIComponent(stream.name)}`},
    h('span', {class: 'tile-head'}, h('span', {class: 'tile-name', text: stream.name}), h('span', {class: 'pill', 'data-state': stream.state, text: t(`state.${stream.state}`)})),
    h('span', {class: 'tile-facts'},
      h('span', {text: video}),
      layers.length > 1 && h('span', {text: t('home.layers', {n: layers.length})}),
      h('span', {text: t(stream.viewers === 1 ? 'viewers.one' : 'viewers.many', {n: stream.viewers || 0})}),
      h('span', {text: t('home.for', {time: duration(Date.now() - Date.parse(stream.since))})})));
}

function blank(name, title, hint) {
  fill(streams, h('div', {class: 'blank', 'data-kind': name}, icon(icons[name]), h('h3', {text: title}), hint && h('p', {class: 'muted', text: hint})));
}
