// The watch page.

import {h} from '../lib/dom.js';
import {pageParams, streamName} from '../lib/params.js';
import {t} from '../strings.js';
import {copyButton, page} from './frame.js';
import {chatFor, makePlayer, recordingOf} from './player.js';

const stream = streamName();
const params = pageParams(stream);
const player = makePlayer(stream, params);
const state = h('span', {class: 'pill', 'data-state': 'connecting', text: t('player.connecting')});
const viewers = h('span', {class: 'muted', 'aria-live': 'off'});
const recording = recordingOf(params.query);
const query = recording && `?recording=${recording}`;
const embedCode = () => `<iframe src="${location.origin}/embed/${stream}${query}" width="1280" height="720" allow="autoplay; fullscreen; picture-in-picture" allowfullscreen></iframe>`;

const chat = chatFor(player, stream, params, true);

page('watch', [h('div', {class: chat ? 'theatre' : ''},
  h('div', {class: 'stage'},
    player,
    h('div', {class: 'under'},
      h('h1', {text: stream}), state, viewers, h('span', {class: 'space'}),
      copyButton(t('watch.share'), () => `${location.origin}/watch/${stream}${query}`),
      copyButton(t('watch.embed'), embedCode)),
    h('p', {class: 'keys-hint muted small', text: t('watch.keysHint')})),
  chat && chat.element),
]);

if (recording) {
  document.title = t('watch.recordedTitle', {stream});
  state.hidden = true;
  player.addEventListener('moment', () => {
    const from = player.range?.from;
    const text = from ? t('watch.recorded', {date: new Date(from).toLocaleString(document.documentElement.lang)}) : '';
    if (viewers.textContent !== text) viewers.textContent = text;
  });
}
function showState() {
  const is = player.streamState;
  const live = is === 'live';
  document.title = t(live ? 'watch.title' : 'watch.offlineTitle', {stream});
  const name = {live: 'live', paused: 'paused', stalled: 'paused'}[is] || is;
  state.hidden = name === 'failed';
  state.dataset.state = name;
  state.textContent = t({live: 'state.live', paused: 'state.paused', offline: 'state.offline'}[name] || 'player.connecting');
  if (!live) viewers.textContent = '';
}
for (const type of ['statechange', 'fallback']) player.addEventListener(type, showState);
player.addEventListener('viewercount', ({detail}) => {
  viewers.textContent = t(detail.count === 1 ? 'viewers.one' : 'viewers.many', {n: detail.count});
});
