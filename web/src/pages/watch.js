// The watch page.

import {chatBeside, wantsChat} from '../chat/index.js';
import {h} from '../lib/dom.js';
import {pageParams, streamName} from '../lib/params.js';
import {t} from '../strings.js';
import {copyButton, page} from './frame.js';
import {makePlayer} from './player.js';

const stream = streamName();
const params = pageParams(stream);
const player = makePlayer(stream, params);
const state = h('span', {class: 'pill', 'data-state': 'connecting', text: t('player.connecting')});
const viewers = h('span', {class: 'muted', 'aria-live': 'off'});
const embedCode = () => `<iframe src="${location.origin}/embed/${stream}" width="1280" height="720" allow="autoplay; fullscreen; picture-in-picture" allowfullscreen></iframe>`;

const chat = wantsChat(params.query, true) && chatBeside(player, stream, params.token);

page('watch', [h('div', {class: chat ? 'theatre' : ''},
  h('div', {class: 'stage'},
    player,
    h('div', {class: 'under'},
      h('h1', {text: stream}), state, viewers, h('span', {class: 'space'}),
      copyButton(t('watch.share'), () => `${location.origin}/watch/${stream}`),
      copyButton(t('watch.embed'), embedCode)),
    h('p', {class: 'keys-hint muted small', text: t('watch.keysHint')})),
  chat && chat.element),
]);

player.addEventListener('statechange', ({detail}) => {
  const live = detail.state === 'live';
  document.title = t(live ? 'watch.title' : 'watch.offlineTitle', {stream});
  const name = {live: 'live', paused: 'paused', stalled: 'paused'}[detail.state] || detail.state;
  state.hidden = name === 'failed';
  state.dataset.state = name;
  state.textContent = t({live: 'state.live', paused: 'state.paused', offline: 'state.offline'}[name] || 'player.connecting');
  if (!live) viewers.textContent = '';
});
player.addEventListener('viewercount', ({detail}) => {
  viewers.textContent = t(detail.count === 1 ? 'viewers.one' : 'viewers.many', {n: detail.count});
});
