// The chat of a page: a panel for a stream, connected through what the page has.

import {flag} from '../lib/params.js';
import {ChatClient} from './client.js';
import {ChatLink, guestKey} from './link.js';
import {ChatPanel} from './panel.js';
import {channelProtocol} from './transport.js';

/**
 * @param {object} options token
 * @returns {{element: HTMLElement, client: ChatClient, protocol: string, channel: Function, token: Function}}
 */
export function makeChat(stream, {token = ''} = {}) {
  const key = guestKey();
  const client = new ChatClient();
  const panel = new ChatPanel(client);
  const link = new ChatLink(client, stream, {token, key});
  return {
    element: panel.element,
    client,
    protocol: channelProtocol(token ? '' : key),
    channel: (c) => link.channel(c),
    token: (value) => link.token(value),
  };
}

/** Whether the query asks for a chat. */
export function wantsChat(query, fallback) {
  return flag(query.get('chat'), fallback);
}

/** A chat beside a <live-player>. */
export function chatBeside(player, stream, token) {
  const chat = makeChat(stream, {token});
  player.setAttribute('chat', chat.protocol);
  player.addEventListener('chatchannel', ({detail}) => chat.channel(detail.channel));
  player.addEventListener('token', ({detail}) => chat.token(detail.token));
  return chat;
}
