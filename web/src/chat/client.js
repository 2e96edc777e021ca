// ChatClient: what a member knows of a room. No user interface.

const CONFIRM_MS = 15000; // a message that does not come back for so long has failed
const RETRY_MS = 2500; // between attempts while the room cannot take messages
const MEMORY = 500; // messages kept

/**
 * connect() takes one transport after the other; the room goes on. Messages that
 * were not confirmed are sent again under their ref, which the server knows.
 *
 * Events: change (something to show), message ({message, mine}), deleted, banned,
 * slow, viewers, stream, state ({connected}).
 */
export class ChatClient extends EventTarget {
  #transport = null;
  #session = Math.random().toString(36).slice(2, 10);
  #count = 0;
  #timer = 0;

  constructor() {
    super();
    this.user = null;
    this.role = 'viewer';
    this.write = true;
    this.slow = 0;
    this.connected = false;
    this.messages = []; // by id
    this.pending = []; // {ref, text, state: 'pending'|'failed', reason, at}
    this.more = true; // there may be older messages
    this.viewers = null;
  }

  get moderates() {
    return this.role === 'moderator' || this.role === 'streamer';
  }

  get transport() {
    return this.#transport?.kind || '';
  }

  /** Uses a transport from now on, in place of the one before. */
  connect(transport) {
    this.#transport?.close();
    this.#transport = transport;
    const current = (fn) => (arg) => this.#transport === transport && fn(arg);
    transport.onframe = current((frame) => this.#frame(frame));
    transport.onclose = current(() => this.disconnect());
  }

  disconnect() {
    const transport = this.#transport;
    this.#transport = null;
    transport?.close();
    clearInterval(this.#timer);
    this.#connected(false);
  }

  /** Says a text; it is pending until it comes back. */
  send(text) {
    const item = {ref: `${this.#session}-${++this.#count}`, text, state: 'pending', reason: '', at: 0, since: Date.now()};
    this.pending.push(item);
    this.#dispatch(item);
    this.#emit('change');
  }

  /** Sends a failed message again. */
  retry(ref) {
    const item = this.pending.find((p) => p.ref === ref);
    if (!item) return;
    Object.assign(item, {state: 'pending', reason: '', since: Date.now()});
    this.#dispatch(item);
    this.#emit('change');
  }

  /** Gives a failed message up. */
  discard(ref) {
    this.pending = this.pending.filter((p) => p.ref !== ref);
    this.#emit('change');
  }

  delete(id) {
    this.#request({type: 'delete', id});
  }

  ban(user, seconds, reason = '') {
    this.#request({type: 'ban', user, seconds, reason});
  }

  unban(user) {
    this.#request({type: 'unban', user});
  }

  setSlow(seconds) {
    this.#request({type: 'slow', seconds});
  }

  /** Asks for older messages. */
  older(limit = 50) {
    this.#request({type: 'history', before: this.messages[0]?.id || '', limit});
  }

  #dispatch(item) {
    if (!this.connected) return; // with the next welcome
    item.at = Date.now();
    this.#request({type: 'send', ref: item.ref, text: item.text});
  }

  #request(frame) {
    try {
      this.#transport?.send(JSON.stringify(frame));
    } catch {
      // The transport is closing: onclose follows.
    }
  }

  #frame(frame) {
    const handler = this[`on_${frame.type}`];
    if (typeof handler === 'function') handler.call(this, frame);
  }

  on_welcome(frame) {
    this.user = frame.user;
    this.role = frame.role;
    this.write = frame.write !== false;
    this.slow = frame.slow || 0;
    // What the room has deleted meanwhile is not in its history.
    const history = frame.history || [];
    if (history.length) this.messages = this.messages.filter((m) => m.id < history[0].id);
    for (const m of history) this.#add(m);
    this.#connected(true);
    for (const item of this.pending) if (item.state === 'pending') this.#dispatch(item);
    clearInterval(this.#timer);
    this.#timer = setInterval(() => this.#check(), 1000);
    this.#emit('change');
  }

  on_message(frame) {
    if (frame.ref) this.pending = this.pending.filter((p) => p.ref !== frame.ref);
    if (this.#add(frame)) this.#emit('message', {message: frame, mine: frame.user.id === this.user?.id});
    this.#emit('change');
  }

  on_history(frame) {
    this.more = frame.more;
    this.#emit('change');
  }

  on_deleted(frame) {
    this.messages = this.messages.filter((m) => m.id !== frame.id);
    this.#emit('deleted', frame);
    this.#emit('change');
  }

  on_banned(frame) {
    this.#emit('banned', frame);
  }

  on_slow(frame) {
    this.slow = frame.seconds;
    this.#emit('slow', frame);
  }

  on_viewers(frame) {
    this.viewers = frame.count;
    this.#emit('viewers', frame);
  }

  on_stream(frame) {
    this.#emit('stream', frame);
  }

  on_error(frame) {
    const item = this.pending.find((p) => p.ref === frame.ref);
    if (!item) return this.#emit('refused', frame);
    if (frame.code === 'unavailable') {
      item.at = Date.now() + (frame.retry_after || 0) * 1000 - RETRY_MS; // try again then
      return;
    }
    Object.assign(item, {state: 'failed', reason: frame.code, after: frame.retry_after || 0});
    this.#emit('change');
  }

  /** Adds a message in its place; false when it is there. */
  #add(message) {
    let i = this.messages.length;
    while (i > 0 && this.messages[i - 1].id > message.id) i--;
    if (i > 0 && this.messages[i - 1].id === message.id) return false;
    this.messages.splice(i, 0, message);
    if (this.messages.length > MEMORY && i > 0) {
      this.messages.shift();
      this.more = true;
    }
    return true;
  }

  /** Sends what was not confirmed again, and gives up what takes too long. */
  #check() {
    const now = Date.now();
    let changed = false;
    for (const item of this.pending) {
      if (item.state !== 'pending') continue;
      if (now - item.since > CONFIRM_MS && this.connected) {
        Object.assign(item, {state: 'failed', reason: 'unavailable'});
        changed = true;
      } else if (now - item.at > RETRY_MS) {
        this.#dispatch(item);
      }
    }
    if (changed) this.#emit('change');
  }

  #connected(connected) {
    if (this.connected === connected) return;
    this.connected = connected;
    this.#emit('state', {connected});
    this.#emit('change');
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, {detail}));
  }
}
