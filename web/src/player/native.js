// HLS as the browser plays it: Safari on phones, which has no MediaSource.

/** The part of Rewind that differs. Times are capture times in milliseconds. */
export class NativeSource {
  #video;
  #url;
  #pending = null;
  #onError;

  constructor({video, url, token, onError = () => {}}) {
    this.#video = video;
    this.#onError = () => video.hasAttribute('src') && onError();
    const address = new URL(url, document.baseURI);
    if (token) address.searchParams.set('token', token); // no header can be set
    this.#url = address.href;
    video.addEventListener('loadedmetadata', this.#ready);
    video.addEventListener('error', this.#onError);
  }

  static supported(video) {
    return Boolean(video.canPlayType('application/vnd.apple.mpegurl')) && typeof video.getStartDate === 'function';
  }

  #ready = () => {
    if (this.#pending !== null) this.seek(this.#pending);
    this.#pending = null;
  };

  start(capture) {
    this.#pending = capture;
    this.#video.src = this.#url;
  }

  seek(capture) {
    const {from, to} = this.range || {from: capture, to: capture};
    this.#video.currentTime = (Math.min(Math.max(capture, from), to) - this.#origin) / 1000;
  }

  stop() {
    this.#video.removeAttribute('src');
    this.#video.load();
  }

  close() {
    this.#video.removeEventListener('loadedmetadata', this.#ready);
    this.#video.removeEventListener('error', this.#onError);
    this.stop();
  }

  /** Capture time of position 0. */
  get #origin() {
    return this.#video.getStartDate().getTime();
  }

  get capture() {
    const origin = this.#origin;
    return Number.isNaN(origin) ? null : origin + 1000 * this.#video.currentTime;
  }

  get range() {
    const {seekable} = this.#video;
    const origin = this.#origin;
    if (!seekable.length || Number.isNaN(origin)) return null;
    return {from: origin + 1000 * seekable.start(0), to: origin + 1000 * seekable.end(seekable.length - 1)};
  }
}
