// Media that is fetched before the library asks for it.

const MOST = 32; // pieces kept

/** Fetches what never changes and hands it to hls.js, which asks for one piece after the other. */
export class Ahead {
  #headers;
  #flight = new AbortController();
  #pieces = new Map(); // url to a promise of {data, begun, done}, or of null when the library has to ask

  constructor(token) {
    this.#headers = token ? {Authorization: `Bearer ${token}`} : {};
  }

  /** Fetches once; rejects never. */
  fetch(url) {
    if (!this.#pieces.has(url)) this.#pieces.set(url, this.#load(url));
    for (const old of this.#pieces.keys()) {
      if (this.#pieces.size <= MOST) break;
      this.#pieces.delete(old);
    }
    return this.#pieces.get(url);
  }

  /** Ends what is on its way: nobody waits for it, and WebRTC may need the link. */
  stop() {
    this.#flight.abort();
    this.#flight = new AbortController();
  }

  /** Text of what may change, "" when there is none. */
  async text(url) {
    const response = await fetch(url, {headers: this.#headers}).catch(() => null);
    return response?.ok ? response.text().catch(() => '') : '';
  }

  async #load(url) {
    const begun = performance.now();
    try {
      const response = await fetch(url, {headers: this.#headers, signal: this.#flight.signal});
      if (response.ok) return {data: await response.arrayBuffer(), begun, done: performance.now()};
    } catch {
      // The library asks again, and says what is wrong.
    }
    this.#pieces.delete(url);
    return null;
  }

  /** A loader for hls.js, on top of its own. */
  loader(Base) {
    const pieces = this.#pieces;
    return class extends Base {
      #aborted = false;

      abortInternal() {
        this.#aborted = true;
        super.abortInternal();
      }

      load(context, config, callbacks) {
        const piece = context.rangeEnd ? undefined : pieces.get(context.url);
        if (!piece) {
          super.load(context, config, callbacks);
          return;
        }
        Object.assign(this, {context, config, callbacks});
        this.#take(piece, context, config, callbacks);
      }

      async #take(piece, context, config, callbacks) {
        const found = await piece;
        if (this.#aborted) return;
        if (!found) {
          super.load(context, config, callbacks);
          return;
        }
        const data = found.data.slice(0); // the library gives its copy away
        const {loading} = this.stats;
        Object.assign(loading, {start: found.begun, first: found.begun, end: found.done});
        this.stats.loaded = this.stats.total = data.byteLength;
        callbacks.onProgress?.(this.stats, context, data, null);
        callbacks.onSuccess({url: context.url, data, code: 200}, this.stats, context, null);
      }
    };
  }
}
