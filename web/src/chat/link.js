// Keeps a ChatClient connected: over the data channel of the player's or
// publisher's session while there is one, else by WebSocket.

import {Backoff} from '../lib/backoff.js';
import {setting} from '../lib/params.js';
import {channelTransport, socketTransport} from './transport.js';

const CHANNEL_WAIT_MS = 2500; // for a session's channel, before a WebSocket is made

/** The secret by which the server knows a guest again. */
export function guestKey() {
  let key = setting('chat.key');
  if (/^[a-z0-9]{16,40}$/.test(key)) return key;
  key = [...crypto.getRandomValues(new Uint8Array(16))].map((b) => (b % 36).toString(36)).join('');
  return setting('chat.key', key);
}

export class ChatLink {
  #client;
  #stream;
  #options;
  #timer = 0;
  #backoff = new Backoff();
  #closed = false;

  /** @param {object} options token, key */
  constructor(client, stream, options) {
    this.#client = client;
    this.#stream = stream;
    this.#options = options;
    client.addEventListener('state', ({detail}) => {
      if (detail.connected) this.#backoff.reset();
      else this.#later(this.#backoff.next());
    });
    this.#later(CHANNEL_WAIT_MS);
  }

  /** Takes the data channel of a new session. */
  channel(channel) {
    const transport = channelTransport(channel);
    const use = () => {
      if (this.#closed) return transport.close();
      clearTimeout(this.#timer);
      this.#client.connect(transport);
    };
    if (transport.isOpen()) use();
    else transport.onopen = use;
  }

  /** Uses another token from the next connection on. */
  token(token) {
    this.#options = {...this.#options, token};
    if (this.#client.transport !== 'channel') this.#later(0);
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#client.disconnect();
  }

  #later(ms) {
    clearTimeout(this.#timer);
    if (!this.#closed) this.#timer = setTimeout(() => this.#socket(), ms);
  }

  #socket() {
    if (this.#closed || (this.#client.connected && this.#client.transport === 'channel')) return;
    let transport;
    try {
      transport = socketTransport(this.#stream, this.#options);
    } catch {
      return this.#later(this.#backoff.next()); // the browser does not let us
    }
    this.#client.connect(transport);
    // One that never opens reports no state.
    const {onclose} = transport;
    transport.onclose = () => {
      const was = this.#client.connected;
      onclose();
      if (!was) this.#later(this.#backoff.next());
    };
  }
}
