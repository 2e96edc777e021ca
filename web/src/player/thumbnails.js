// The pictures that the seek bar shows.

import {parseThumbnails} from '../lib/cues.js';

const REFRESH_MS = 30_000;
const MISSING_MS = 2000; // when a picture is asked for that is not listed yet
const KEEP = 40;

/** Finds and keeps thumbnails of a recording by capture time. */
export class Thumbnails {
  #url;
  #headers;
  #track = {start: NaN, cues: []};
  #readAt = -Infinity;
  #pictures = new Map(); // url to object URL

  constructor(url, token) {
    this.#url = url;
    this.#headers = token ? {Authorization: `Bearer ${token}`} : {};
  }

  /** Capture time of the first moment of the window, or NaN. */
  get from() {
    const [first] = this.#track.cues;
    return first ? this.#track.start + 1000 * first.from : NaN;
  }

  async refresh(after = REFRESH_MS) {
    if (performance.now() - this.#readAt < after) return;
    this.#readAt = performance.now();
    const response = await fetch(this.#url, {headers: this.#headers});
    if (response.ok) this.#track = parseThumbnails(await response.text());
  }

  /** The picture of a moment as an object URL, or "" when there is none. */
  async at(capture) {
    if (!this.#cue(capture)) await this.refresh(MISSING_MS).catch(() => {});
    const cue = this.#cue(capture);
    if (!cue) return '';
    const url = new URL(cue.uri, this.#url).href;
    if (!this.#pictures.has(url)) this.#pictures.set(url, this.#load(url));
    return this.#pictures.get(url);
  }

  #cue(capture) {
    const second = (capture - this.#track.start) / 1000;
    return this.#track.cues.find((c) => c.from <= second && second < c.to);
  }

  async #load(url) {
    const response = await fetch(url, {headers: this.#headers}).catch(() => null);
    const picture = response?.ok ? await response.blob().catch(() => null) : null;
    if (!picture) this.#pictures.delete(url); // the next one who asks tries again
    this.#trim();
    return picture ? URL.createObjectURL(picture) : '';
  }

  #trim() {
    for (const [url, picture] of this.#pictures) {
      if (this.#pictures.size <= KEEP) return;
      this.#pictures.delete(url);
      picture.then((object) => object && URL.revokeObjectURL(object));
    }
  }

  close() {
    for (const picture of this.#pictures.values()) picture.then((object) => object && URL.revokeObjectURL(object));
    this.#pictures.clear();
  }
}
