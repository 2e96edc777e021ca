// Media that is fetched before the library asks for it.

const MOST = 32; // pieces kept
const MOST_AT_ONCE = 12;
const PART = /^#EXT-X-PART:(?=.*URI="([^"]+)")(?=.*DURATION=([\d.]+)).*/gm;
const FRESH_MS = 500; // age of a playlist that the library may have

/** Fetches what never changes and hands it to hls.js, which asks for one piece after the other. */
export class Ahead {
  #headers;
  #flight = new AbortController();
  #pieces = new Map(); // url to a promise of {data, begun, first, done}, or of null when the library has to ask
  #playlists = new Map(); // the same, each for one use

  constructor(token) {
    this.#headers = token ? {Authorization: `Bearer ${token}`} : {};
  }

  /** Fetches once; rejects never. */
  fetch(url) {
    const piece = this.#pieces.get(url) || this.#load(url, 'arrayBuffer');
    piece.then((found) => found || this.#pieces.delete(url));
    this.#pieces.delete(url);
    this.#pieces.set(url, piece);
    for (const old of this.#pieces.keys()) {
      if (this.#pieces.size <= MOST) break;
      this.#pieces.delete(old);
    }
    return this.#pieces.get(url);
  }

  /** Fetches the first of these; resolves when all have come or failed. */
  fetchAll(urls) {
    return Promise.all(urls.slice(0, MOST_AT_ONCE).map((url) => this.fetch(url)));
  }

  /** Fetches a playlist, for whoever asks for it soon, and its parts from the last keyframe on that is so many seconds before its end. */
  async edge(url, seconds) {
    const playlist = this.#load(url, 'text');
    this.#playlists.set(url, playlist);
    const parts = [...((await playlist)?.data || '').matchAll(PART)].filter(([line]) => !line.includes('GAP=YES'));
    let length = 0;
    let from = parts.length;
    while (from > 0 && (length < seconds || !parts[from][0].includes('INDEPENDENT=YES'))) length += Number(parts[--from][2]);
    this.fetchAll(parts.slice(from).map(([, name]) => new URL(name, url).href));
  }

  /** Ends what is on its way: nobody waits for it, and WebRTC may need the link. */
  stop() {
    this.#flight.abort();
    this.#flight = new AbortController();
    this.#playlists.clear();
  }

  /** Text of what may change, "" when there is none. */
  async text(url) {
    const response = await fetch(url, {headers: this.#headers}).catch(() => null);
    return response?.ok ? response.text().catch(() => '') : '';
  }

  async #load(url, as) {
    const begun = performance.now();
    try {
      const response = await fetch(url, {headers: this.#headers, signal: this.#flight.signal});
      const first = performance.now();
      if (response.ok) return {data: await response[as](), begun, first, done: performance.now()};
    } catch {
      // The library asks again, and says what is wrong.
    }
    return null;
  }

  /** What is there or on its way for a request of the library. */
  #found({url, rangeEnd}) {
    if (rangeEnd) return undefined;
    const playlist = this.#playlists.get(url);
    this.#playlists.delete(url);
    return playlist?.then((found) => (found && performance.now() - found.done < FRESH_MS ? found : null)) || this.#pieces.get(url);
  }

  /** A loader for hls.js, on top of its own. */
  loader(Base) {
    const find = (context) => this.#found(context);
    return class extends Base {
      #aborted = false;

      abortInternal() {
        this.#aborted = true;
        super.abortInternal();
      }

      load(context, config, callbacks) {
        const piece = find(context);
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
        Object.assign(loading, {start: found.begun, first: found.first, end: found.done});
        this.stats.loaded = this.stats.total = data.byteLength ?? data.length;
        callbacks.onProgress?.(this.stats, context, data, null);
        callbacks.onSuccess({url: context.url, data, code: 200}, this.stats, context, null);
      }
    };
  }
}
