// The chat of a page: a panel for a stream, connected through what the page has.

import {flag} from '../lib/params.js';
import {ChatClient} from './client.js';
import {ChatLink, guestKey} from './link.js';
import {ChatPanel} from './panel.js';
import {ChatReplay} from './replay.js';
import {channelProtocol} from './transport.js';

/**
 * @param {object} options token
 * @returns {{element: HTMLElement, panel: ChatPanel, client: ChatClient, protocol: string, channel: Function, token: Function}}
 */
export function makeChat(stream, {token = ''} = {}) {
  const key = guestKey();
  const client = new ChatClient();
  const panel = new ChatPanel(client);
  const link = new ChatLink(client, stream, {token, key});
  return {
    element: panel.element,
    panel,
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

/** A chat beside a <live-player>: of now, or of the moment that is shown. */
export function chatBeside(player, stream, token) {
  const chat = makeChat(stream, {token});
  const replay = new ChatReplay({token, room: chat.client});
  follow(player, chat.panel, replay, ({mode}) => mode === 'behind');
  player.setAttribute('chat', chat.protocol);
  player.addEventListener('chatchannel', ({detail}) => chat.channel(detail.channel));
  player.addEventListener('token', ({detail}) => chat.token(detail.token));
  return chat;
}

/** The chat of a recording beside its player. */
export function chatOfRecording(player, token) {
  const panel = new ChatPanel(new ChatClient(), {recorded: true});
  follow(player, panel, new ChatReplay({token}), () => true);
  return {element: panel.element};
}

function follow(player, panel, replay, wanted) {
  player.addEventListener('moment', ({detail}) => {
    const {recording, capture} = detail;
    const past = Boolean(recording && capture && wanted(detail));
    if (past) replay.at(recording, capture);
    panel.replay(past ? replay : null);
  });
  player.addEventListener('token', ({detail}) => (replay.token = detail.token));
}
