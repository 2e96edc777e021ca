// One WHEP session with its peer connection and its events.

import {pause} from './backoff.js';
import {linkOf} from './link.js';
import {RepairWait} from './repair.js';
import {roundTrips, stereoOpus} from './sdp.js';
import {Session} from './session.js';
import {readEvents} from './sse.js';
import {Together} from './together.js';

const EVENTS_REL = 'urn:ietf:params:whep:ext:core:server-sent-events';
const LAYER_REL = 'urn:ietf:params:whep:ext:core:layer';
const WANTED = ['active', 'inactive', 'layers', 'viewercount', 'reconnect', 'overload'];
const RESTART_AFTER_MS = 1500; // disconnected for so long: try an ICE restart
const ANSWER_MS = 1000; // for a server to say whether it is there

/**
 * Opened once, closed once. Reports through callbacks:
 * onTrack(track), onChat(channel), onEvent(name, data), onEnd(reason, url, wait) where reason is "ice",
 * "gone", "lost" (the server does not answer), "unreached" (no media comes from it) or "moved": to url, where for wait seconds nobody may answer yet.
 */
export class ViewerConnection {
  #abort = new AbortController();
  #callbacks;
  #repair = new RepairWait();
  #together = null;
  #restart = 0;
  #revived = false; // once in each silence
  #answered = 0; // when
  #connected = false; // ever

  constructor(callbacks) {
    this.#callbacks = callbacks;
    this.pc = null;
    this.session = null;
    this.doubtful = false; // the event stream broke off, and the server did not answer
  }

  /** Posts the offer and takes the answer. Rejects with HttpError or AbortError. */
  async open(url, {token, iceServers, signal, chat}) {
    this.pc = new RTCPeerConnection({bundlePolicy: 'max-bundle', iceServers: iceServers || []});
    this.pc.addEventListener('track', (ev) => this.#callbacks.onTrack(ev.track));
    this.pc.addEventListener('connectionstatechange', () => this.#connectionState());
    const transceivers = ['audio', 'video'].map((kind) => this.pc.addTransceiver(kind, {direction: 'recvonly'}));
    const [audio, video] = transceivers.map((t) => t.receiver);
    takeDependencies(transceivers[1]);
    this.#together = new Together(audio, video);
    if (chat) this.#callbacks.onChat(this.pc.createDataChannel('chat', {protocol: chat}));
    const offer = await this.pc.createOffer();
    const sdp = roundTrips(stereoOpus(offer.sdp));
    // The POST goes first: its answer names the ICE servers to gather with.
    this.session = await Session.post(url, sdp, {token, signal});
    if (this.session.iceServers.length) this.pc.setConfiguration({iceServers: this.session.iceServers, bundlePolicy: 'max-bundle'});
    this.session.trickle(this.pc);
    await this.pc.setLocalDescription({type: 'offer', sdp});
    await this.pc.setRemoteDescription({type: 'answer', sdp: this.session.answer});
    this.#answered = performance.now();
    this.#listen();
  }

  #connectionState() {
    const state = this.pc.connectionState;
    clearTimeout(this.#restart);
    if (state === 'connected') this.#connected = true;
    if (state === 'failed') this.#end('ice');
    if (state === 'closed') this.check();
    if (state === 'disconnected') this.#restart = setTimeout(() => this.#restartIce(), RESTART_AFTER_MS);
  }

  async #restartIce() {
    try {
      await this.session.restart(this.pc);
    } catch (err) {
      if (err.status === 404) this.#end('gone');
      // Otherwise the old path may come back, or the connection fails by itself.
    }
  }

  async #listen() {
    const link = linkOf(this.session.links, EVENTS_REL);
    if (!link) return;
    const offered = (link.params.events || '').split(/[\s,]+/).filter(Boolean);
    const types = WANTED.filter((t) => offered.includes(t));
    const signal = this.#abort.signal;
    try {
      for (let wait = 500; ; wait = Math.min(2 * wait, 5000)) {
        await this.#readEvents(link.url, types, signal);
        this.doubtful = (await this.check()) === 'unknown';
        await pause(wait, signal);
      }
    } catch {
      // Aborted: the connection is closed.
    }
  }

  async #readEvents(url, types, signal) {
    try {
      const onEvent = (name, data) => this.#event(name, data);
      await readEvents(url, types, {headers: this.session.headers, signal, onEvent});
    } catch (err) {
      if (err.name === 'AbortError') throw err;
    }
  }

  #event(name, data) {
    if (this.#abort.signal.aborted) return;
    if (name === 'reconnect') this.#end('moved', data?.url, Number(data?.wait) || 0);
    else this.#callbacks.onEvent(name, data);
  }

  /**
   * Asks the server whether the session lives, and ends when it does not.
   * @returns {Promise<'alive'|'gone'|'unknown'>} unknown: no answer within a second
   */
  async check() {
    const answer = await this.session.probe(AbortSignal.any([this.#abort.signal, AbortSignal.timeout(ANSWER_MS)]));
    if (answer === 'gone') this.#end('gone');
    return answer;
  }

  /** Packets come. */
  flows() {
    this.#revived = false;
  }

  /** How long the peer connection has tried to get through since the answer, in milliseconds; 0 when it has or has failed. */
  get connecting() {
    const trying = this.#answered && !this.#connected && ['new', 'connecting'].includes(this.pc.connectionState);
    return trying ? performance.now() - this.#answered : 0;
  }

  /** No packets come, though the server is there: looks for another path, once. False when it has, or looks for its first. */
  revive() {
    if (this.#revived || this.pc.connectionState === 'new' || this.pc.connectionState === 'connecting') return false;
    this.#revived = true;
    this.#restartIce();
    return true;
  }

  /** Another server may do better: ends with that reason. */
  leave(reason) {
    this.#end(reason);
  }

  /** Takes a RTCStatsReport of the connection, a few times a second. */
  observe(report) {
    this.#together?.update(report, this.#repair.update(report, performance.now()));
  }

  get canSelectLayer() {
    return Boolean(linkOf(this.session?.links || [], LAYER_REL));
  }

  /** @returns {Promise<Response>} */
  selectLayer(body) {
    const link = linkOf(this.session.links, LAYER_REL);
    return fetch(link.url, {
      method: 'POST',
      headers: {'Content-Type': 'application/json', ...this.session.headers},
      body: JSON.stringify(body),
      signal: this.#abort.signal,
    });
  }

  #end(reason, url, wait = 0) {
    if (this.#abort.signal.aborted) return;
    this.#stop();
    this.#callbacks.onEnd(reason, url, wait);
  }

  #stop() {
    clearTimeout(this.#restart);
    this.#abort.abort();
  }

  /** Frees everything; tells the server when asked to. */
  close({tell = true, keepalive = false} = {}) {
    this.#stop();
    this.pc?.close();
    if (tell) this.session?.delete({keepalive});
    else this.session?.abandon();
  }
}

/** Asks for the header extension that lets a server leave out layers of AV1. Browsers offer it only when told to. */
function takeDependencies(transceiver) {
  const all = transceiver.getHeaderExtensionsToNegotiate?.();
  const wanted = all?.find((e) => e.uri.includes('dependency-descriptor'));
  if (!wanted) return;
  wanted.direction = 'sendrecv';
  transceiver.setHeaderExtensionsToNegotiate(all);
}
