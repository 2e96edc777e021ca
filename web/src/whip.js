// WhipPublisher: sends a MediaStream by WHIP and stays live. No user interface.

import {Backoff, pause} from './lib/backoff.js';
import {encodings, preferCodec} from './lib/encodings.js';
import {OutboundMeter} from './lib/outbound.js';
import {linkOf} from './lib/link.js';
import {HttpError, within} from './lib/problem.js';
import {startBitrate, stereoOpus} from './lib/sdp.js';
import {Session} from './lib/session.js';
import {follow} from './lib/sse.js';

export {HttpError};

const EVENTS_REL = 'urn:sluice:whip:ext:server-sent-events';
const HANDOVER_MS = 10_000; // that a session goes on beside its successor, at most
const OPEN_MS = 15_000; // for a server to answer
const STATS_MS = 1000;
const RESTART_AFTER_MS = 1500; // disconnected for so long: try an ICE restart
const CHECK_EVERY = 3; // statistics ticks without a connected path between two questions to the server

/**
 * States: idle, connecting, live, reconnecting, failed (`error` says why), stopped.
 * Events (CustomEvent): statechange, reconnecting, stats, chatchannel (RTCDataChannel
 * of a new session).
 */
export class WhipPublisher extends EventTarget {
  #options;
  #run = null;
  #pc = null;
  #session = null;
  #before = null; // the session that the present one takes over from, with its peer connection
  #stream = null;

  /**
   * @param {object} options
   * @param {string} options.url WHIP endpoint
   * @param {string} [options.token] bearer token
   * @param {boolean} [options.simulcast] three layers q, h, f; default true
   * @param {string} [options.videoCodec] "VP8", "H264", "VP9", "AV1"; default the browser's order
   * @param {number} [options.videoBitrate] bit/s of the top layer; default by size
   * @param {number} [options.audioBitrate] bit/s; default 128000
   * @param {boolean} [options.dtx] stop sending audio in silence; default false
   * @param {RTCIceServer[]} [options.iceServers] in addition to what the server names
   */
  constructor(options) {
    super();
    this.#options = {token: '', simulcast: true, audioBitrate: 128_000, dtx: false, iceServers: [], ...options};
    this.state = 'idle';
    this.error = null;
    this.liveSince = 0;
    this.stats = null;
  }

  get peerConnection() {
    return this.#pc;
  }

  /** Starts sending. Tracks may be exchanged later with replaceTrack. */
  publish(stream) {
    this.stop();
    this.#stream = stream;
    this.#run = new AbortController();
    this.#loop(this.#run.signal);
  }

  /** Sends another track in place of the one of its kind, without a new session. */
  async replaceTrack(track) {
    const old = this.#stream.getTracks().find((t) => t.kind === track.kind);
    if (old) this.#stream.removeTrack(old);
    this.#stream.addTrack(track);
    const sender = this.#pc?.getSenders().find((s) => s.track?.kind === track.kind);
    await sender?.replaceTrack(track);
  }

  /** Ends the session; keepalive lets the DELETE outlive the page. */
  stop({keepalive = false} = {}) {
    if (!this.#run) return;
    this.#run.abort();
    this.#run = null;
    this.#close({keepalive});
    this.#setState('stopped');
  }

  #close({tell = true, keepalive = false} = {}) {
    this.#endBefore({keepalive});
    this.#pc?.close();
    if (tell) this.#session?.delete({keepalive});
    else this.#session?.abandon();
    this.#pc = null;
    this.#session = null;
  }

  /** Ends the session before this one, once the server needs it no more. */
  #retireBefore() {
    const {pc} = this.#before || {};
    if (!pc) return;
    const end = () => this.#before?.pc === pc && this.#endBefore();
    pc.addEventListener('connectionstatechange', end);
    setTimeout(end, HANDOVER_MS);
  }

  #endBefore({keepalive = false} = {}) {
    this.#before?.pc.close();
    this.#before?.session.delete({keepalive});
    this.#before = null;
  }

  async #loop(signal) {
    const backoff = new Backoff();
    let url = this.#options.url;
    while (!signal.aborted) {
      if (!this.#before && this.state !== 'reconnecting') this.#setState('connecting');
      let wait = 0;
      let reason = '';
      try {
        await within(OPEN_MS, signal, (both) => this.#open(url, both));
        const ended = await this.#live(signal, () => {
          backoff.reset();
          this.#retireBefore();
        });
        reason = ended.reason;
        if (reason === 'moved') {
          this.#endBefore();
          this.#before = {pc: this.#pc, session: this.#session};
          ({url} = ended);
          continue;
        }
      } catch (err) {
        if (signal.aborted) return;
        this.error = err;
        if (!(err instanceof HttpError) || !err.temporary) return this.#fail();
        reason = err.code || String(err.status);
        wait = backoff.next(err.retryAfter);
      }
      if (signal.aborted) return;
      ({url} = this.#options);
      this.#close({tell: reason !== 'gone'});
      this.#setState('reconnecting');
      this.#emit('reconnecting', {reason, wait});
      await pause(wait, signal).catch(() => {});
    }
  }

  #fail() {
    this.#run = null;
    this.#close();
    this.#setState('failed');
  }

  async #open(url, signal) {
    const {token, iceServers} = this.#options;
    const pc = new RTCPeerConnection({bundlePolicy: 'max-bundle', iceServers});
    this.#pc = pc;
    this.#addTracks(pc);
    if (this.#options.chat) this.#emit('chatchannel', {channel: pc.createDataChannel('chat', {protocol: this.#options.chat})});
    const offer = await pc.createOffer();
    const sdp = stereoOpus(offer.sdp);
    // The POST goes first: its answer names the ICE servers to gather with.
    const session = await Session.post(url, sdp, {token, signal});
    this.#session = session;
    if (session.iceServers.length) pc.setConfiguration({bundlePolicy: 'max-bundle', iceServers: session.iceServers});
    session.trickle(pc);
    await pc.setLocalDescription({type: 'offer', sdp});
    const {dtx, audioBitrate} = this.#options;
    const kbps = Math.round(this.#videoBudget() / 1000);
    const answer = startBitrate(stereoOpus(session.answer, {dtx, bitrate: audioBitrate}), kbps);
    await pc.setRemoteDescription({type: 'answer', sdp: answer});
    await this.#degradation(pc);
  }

  #addTracks(pc) {
    for (const track of [...this.#stream.getAudioTracks(), ...this.#stream.getVideoTracks()]) {
      const init = {direction: 'sendonly', streams: [this.#stream]};
      if (track.kind === 'video') init.sendEncodings = this.#encodings(track);
      const transceiver = pc.addTransceiver(track, init);
      if (track.kind === 'video') preferCodec(transceiver, this.#options.videoCodec);
    }
  }

  #encodings(track) {
    const {height = 720, frameRate = 30} = track.getSettings();
    const {simulcast, videoBitrate, videoCodec} = this.#options;
    return encodings({simulcast, height, fps: Math.round(frameRate) || 30, maxBitrate: videoBitrate, codec: videoCodec});
  }

  #videoBudget() {
    const track = this.#stream.getVideoTracks()[0];
    return track ? this.#encodings(track).reduce((sum, e) => sum + e.maxBitrate, 0) : 0;
  }

  async #degradation(pc) {
    const sender = pc.getSenders().find((s) => s.track?.kind === 'video');
    if (!sender) return;
    const params = sender.getParameters();
    params.degradationPreference = sender.track.contentHint === 'motion' ? 'maintain-framerate' : 'maintain-resolution';
    await sender.setParameters(params).catch(() => {}); // not every browser has it
  }

  /** Calls back with the endpoint that the server wants the publisher to go to. */
  async #listen(session, signal, moved) {
    const link = linkOf(session.links, EVENTS_REL);
    if (!link) return;
    const onEvent = (name, data) => name === 'reconnect' && data?.url && moved(data.url);
    await follow(link.url, {headers: session.headers, signal, onEvent}).catch(() => {}); // without it, the session ends some time
  }

  /**
   * Watches the session; resolves with the reason of its end: "ice", "gone", or
   * "moved", to url: then it goes on until its successor is there.
   */
  #live(signal, connected) {
    const pc = this.#pc;
    const session = this.#session;
    const meter = new OutboundMeter();
    let restart = 0;
    let ticks = 0;
    let listening = false;
    return new Promise((resolve) => {
      const check = async () => (await session.probe(signal)) === 'gone' && end('gone');
      const timer = setInterval(async () => {
        if (pc.connectionState === 'connected') this.#report(await pc.getStats(), meter);
        else if (ticks++ % CHECK_EVERY === 0) check();
      }, STATS_MS);
      const over = new AbortController();
      const end = (reason, url = '') => {
        over.abort();
        clearInterval(timer);
        clearTimeout(restart);
        resolve({reason, url});
      };
      const changed = () => {
        clearTimeout(restart);
        if (over.signal.aborted) return;
        if (pc.connectionState === 'connected') {
          connected();
          if (!listening) this.#listen(session, over.signal, (url) => end('moved', url));
          listening = true;
          this.error = null;
          this.liveSince ||= Date.now();
          this.#setState('live');
        } else if (pc.connectionState === 'failed') {
          end('ice');
        } else if (pc.connectionState === 'disconnected') {
          this.#setState('reconnecting');
          restart = setTimeout(() => session.restart(pc).catch((err) => err.status === 404 && end('gone')), RESTART_AFTER_MS);
        } else if (pc.connectionState === 'closed') {
          check();
        }
      };
      pc.addEventListener('connectionstatechange', changed);
      signal.addEventListener('abort', () => end('stopped'), {once: true});
      changed(); // it may have connected already
    });
  }

  #report(report, meter) {
    this.stats = meter.update(report);
    this.#emit('stats', {...this.stats, health: OutboundMeter.health(this.stats)});
  }

  #setState(state) {
    if (this.state === state) return;
    if (state === 'stopped' || state === 'failed') this.liveSince = 0;
    this.state = state;
    this.#emit('statechange', {state, error: this.error});
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, {detail}));
  }
}
