// What the watch and embed pages share: a player made from the query parameters.

import {h} from '../lib/dom.js';
import '../player/element.js';

const PASSED = ['controls', 'muted', 'autoplay', 'playsinline', 'quality', 'stats'];

/** A <live-player> for the stream; keys anywhere on the page reach it. */
export function makePlayer(stream, {query, token, saveToken}) {
  const attrs = {src: `/whep/${stream}`, nohotkeys: true};
  for (const name of PASSED) if (query.has(name)) attrs[name] = query.get(name);
  if (token) attrs.token = token;
  const player = h('live-player', attrs);
  player.addEventListener('token', (ev) => saveToken(ev.detail.token));
  document.addEventListener('keydown', (ev) => !ev.defaultPrevented && player.pressKey(ev));
  if (query.get('debug')) debug(player);
  return player;
}

function debug(player) {
  const types = ['statechange', 'no-media', 'media-recovered', 'qualitychange', 'latency', 'reconnecting', 'layers', 'viewercount'];
  for (const type of types) {
    player.addEventListener(type, (ev) => console.debug('[player]', type, JSON.stringify(ev.detail)));
  }
  if (!player.hasAttribute('stats')) player.setAttribute('stats', 'true');
}
