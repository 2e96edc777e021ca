// One WHIP or WHEP session: the HTTP resource beside a peer connection.

import {HttpError, bodyOf, problem, request} from './problem.js';
import {iceServers, parseLinks} from './link.js';
import {firstSection, fragment, withIce} from './sdp.js';

const TRICKLE_WAIT_MS = 40; // candidates arrive in bursts: one PATCH for each burst

/** The session that a POST of an offer made. */
export class Session {
  #token;
  #etag;
  #pc = null;
  #queue = [];
  #complete = false;
  #timer = 0;
  #closed = false;

  /**
   * Posts an offer.
   * @returns {Promise<Session>} rejects with HttpError
   */
  static async post(url, sdp, {token = '', signal} = {}) {
    const headers = {'Content-Type': 'application/sdp', Accept: 'application/sdp', ...bearer(token)};
    const response = await request(url, {method: 'POST', headers, body: sdp, signal});
    if (response.status !== 201) throw await problem(response);
    const location = response.headers.get('Location');
    if (!location) throw new HttpError(response.status, 'no-location', 'The answer names no session URL.', 0);
    return new Session(new URL(location, response.url || url).href, token, await bodyOf(response), response.headers);
  }

  constructor(url, token, answer, headers) {
    this.url = url;
    this.answer = answer;
    this.links = parseLinks(headers.get('Link'), url);
    this.#token = token;
    this.#etag = headers.get('ETag') || '';
  }

  get iceServers() {
    return iceServers(this.links);
  }

  get headers() {
    return bearer(this.#token);
  }

  /** Sends the peer connection's candidates as they come. */
  trickle(pc) {
    this.#pc = pc;
    pc.addEventListener('icecandidate', (ev) => {
      if (this.#closed) return;
      if (ev.candidate?.candidate) this.#queue.push(ev.candidate.candidate);
      else this.#complete = true;
      if (!this.#timer) this.#timer = setTimeout(() => this.#flush(), TRICKLE_WAIT_MS);
    });
  }

  async #flush() {
    this.#timer = 0;
    if (this.#closed || !this.#pc?.localDescription) return;
    const candidates = this.#queue.splice(0);
    if (!candidates.length && !this.#complete) return;
    const body = fragment({...firstSection(this.#pc.localDescription.sdp), candidates, complete: this.#complete});
    try {
      await this.#patch(body, this.#etag || '*');
    } catch {
      // The server takes us as peer reflexive; a lost trickle costs nothing.
    }
  }

  #patch(body, match) {
    return request(this.url, {
      method: 'PATCH',
      headers: {'Content-Type': 'application/trickle-ice-sdpfrag', 'If-Match': match, ...this.headers},
      body,
    });
  }

  /** Restarts ICE on the same session. Rejects with HttpError when the server cannot. */
  async restart(pc) {
    this.#queue.length = 0;
    this.#complete = false;
    const offer = await pc.createOffer({iceRestart: true});
    await pc.setLocalDescription(offer);
    const body = fragment({...firstSection(offer.sdp), candidates: [], complete: false});
    const response = await this.#patch(body, '*');
    if (response.status !== 200) throw await problem(response);
    this.#etag = response.headers.get('ETag') || this.#etag;
    this.answer = withIce(this.answer, await bodyOf(response));
    await pc.setRemoteDescription({type: 'answer', sdp: this.answer});
  }

  /**
   * Asks whether the session still exists.
   * @returns {Promise<'alive'|'gone'|'unknown'>} unknown: no answer came, or only a balancer's
   */
  async probe(signal) {
    try {
      const response = await request(this.url, {method: 'GET', headers: this.headers, signal});
      if (response.status >= 500) return 'unknown';
      return response.status === 404 || response.status === 410 ? 'gone' : 'alive';
    } catch {
      return 'unknown';
    }
  }

  /** Ends the session at the server. keepalive lets the request outlive the page. */
  async delete({keepalive = false} = {}) {
    if (this.#closed) return;
    this.abandon();
    try {
      await request(this.url, {method: 'DELETE', headers: this.headers, keepalive});
    } catch {
      // The server finds out by ICE consent.
    }
  }

  /** Forgets the session without telling the server. */
  abandon() {
    this.#closed = true;
    clearTimeout(this.#timer);
  }
}

/** The Authorization header of a token, none for "". */
export function bearer(token) {
  return token ? {Authorization: `Bearer ${token}`} : {};
}
