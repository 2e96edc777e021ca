// What was said up to the moment that a player shows.

const BEFORE_MS = 10 * 60_000; // of messages before a moment that was sought
const SETTLE_MS = 2000; // what is newer than this may not be kept yet
const AGAIN_MS = 10_000; // between requests for what a running recording has got
const RETRY_MS = 3000; // after one that failed

/**
 * The chat of a recording, by capture time. at() says which moment is shown,
 * `messages` are those of it, oldest first.
 *
 * Events: change.
 */
export class ChatReplay extends EventTarget {
  #token;
  #room;
  #recording = '';
  #kept = new Map(); // id to message
  #sorted = [];
  #from = 0; // capture times between which everything is here
  #to = 0;
  #at = 0;
  #reading = false;
  #notBefore = 0; // of the next request
  #drawn = '';

  /** @param {object} options token; room: a ChatClient that is in the room, for what is newer than the archive */
  constructor({token = '', room = null} = {}) {
    super();
    this.#token = token;
    this.#room = room;
    room?.addEventListener('deleted', ({detail}) => this.#forget(detail.id));
    room?.addEventListener('message', () => this.#changed());
  }

  set token(token) {
    this.#token = token;
    this.#notBefore = 0;
  }

  /** Takes the capture time that is shown of a recording, in milliseconds. */
  at(recording, capture) {
    if (recording !== this.#recording) {
      this.#recording = recording;
      this.#notBefore = 0;
      this.#empty(capture);
    }
    this.#at = capture;
    if (capture < this.#from || capture > this.#to) this.#read(capture);
    this.#changed();
  }

  get messages() {
    const live = (this.#room?.messages || []).filter((m) => !this.#kept.has(m.id) && Date.parse(m.at) > this.#to);
    const all = live.length ? [...this.#sorted, ...live] : this.#sorted;
    return all.filter((m) => Date.parse(m.at) <= this.#at);
  }

  #empty(capture) {
    this.#kept.clear();
    this.#sorted = [];
    this.#from = this.#to = capture - BEFORE_MS;
  }

  async #read(capture) {
    const now = performance.now();
    if (this.#reading || now < this.#notBefore || !this.#recording) return;
    if (capture < this.#from || capture > this.#to + BEFORE_MS) this.#empty(capture);
    const recording = this.#recording;
    const from = this.#to;
    this.#reading = true;
    this.#notBefore = now + RETRY_MS;
    const page = await this.#fetch(recording, from);
    this.#reading = false;
    if (page && recording === this.#recording && from === this.#to) this.#take(page);
  }

  async #fetch(recording, from) {
    const url = `/vod/${encodeURIComponent(recording)}/chat.json?from=${encodeURIComponent(new Date(from).toISOString())}`;
    const headers = this.#token ? {Authorization: `Bearer ${this.#token}`} : {};
    try {
      const response = await fetch(url, {headers});
      if (!response.ok) return null;
      return {date: Date.parse(response.headers.get('Date')), ...(await response.json())};
    } catch {
      return null; // asked again later
    }
  }

  #take(page) {
    for (const m of page.messages) this.#kept.set(m.id, m);
    this.#sorted = [...this.#kept.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
    const whole = page.ended ? Infinity : (page.date || Date.now()) - SETTLE_MS;
    const more = page.next !== null;
    this.#to = more ? Date.parse(page.started) + 1000 * page.next : Math.max(this.#to, whole);
    this.#notBefore = more ? 0 : performance.now() + AGAIN_MS;
    this.#changed();
  }

  #forget(id) {
    if (!this.#kept.delete(id)) return;
    this.#sorted = this.#sorted.filter((m) => m.id !== id);
    this.#changed();
  }

  #changed() {
    const {messages} = this;
    const drawn = `${messages.length} ${messages[0]?.id} ${messages.at(-1)?.id}`;
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    this.dispatchEvent(new CustomEvent('change'));
  }
}
