// What the watch and embed pages share: a player made from the query parameters,
// and its chat.

import {chatBeside, chatOfRecording, wantsChat} from '../chat/index.js';
import {h} from '../lib/dom.js';
import '../player/element.js';
import '../player/recorded.js';

const PASSED = ['controls', 'muted', 'autoplay', 'playsinline', 'quality', 'stats'];

/**
 * A <live-player> for the stream, or a <recorded-player> for the recording that the
 * query names; keys anywhere on the page reach it.
 */
export function makePlayer(stream, {query, token, saveToken}) {
  const recording = recordingOf(query);
  const attrs = {src: recording ? `/vod/${recording}/index.m3u8` : `/whep/${stream}`, nohotkeys: true};
  for (const name of PASSED) if (query.has(name)) attrs[name] = query.get(name);
  if (token) attrs.token = token;
  const player = h(recording ? 'recorded-player' : 'live-player', attrs);
  player.addEventListener('token', (ev) => saveToken(ev.detail.token));
  document.addEventListener('keydown', (ev) => !ev.defaultPrevented && player.pressKey(ev));
  if (query.get('debug')) debug(player);
  return player;
}

/** The recording that the query asks for, "" for the stream as it is now. */
export function recordingOf(query) {
  const id = query.get('recording') || '';
  return /^[\w-]{1,64}$/.test(id) ? id : '';
}

/** The chat beside the player, null when the query asks for none. */
export function chatFor(player, stream, {query, token}, fallback) {
  if (!wantsChat(query, fallback)) return null;
  return recordingOf(query) ? chatOfRecording(player, token) : chatBeside(player, stream, token);
}

function debug(player) {
  const types = ['statechange', 'no-media', 'media-recovered', 'qualitychange', 'latency', 'reconnecting', 'layers', 'viewercount'];
  for (const type of types) {
    player.addEventListener(type, (ev) => console.debug('[player]', type, JSON.stringify(ev.detail)));
  }
  if (!player.hasAttribute('stats')) player.setAttribute('stats', 'true');
}
