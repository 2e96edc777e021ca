// WhepPlayer: watches a WHEP stream and stays with it. No user interface.

import {Backoff, pause} from './lib/backoff.js';
import {InboundMeter} from './lib/inbound.js';
import {LatencyMeter} from './lib/latency.js';
import {layerRequest, layersOf} from './lib/layers.js';
import {Places, reportUnreachable} from './lib/places.js';
import {HttpError, problem, within} from './lib/problem.js';
import {ViewerConnection} from './lib/viewer-connection.js';

export {HttpError};

const TICK_MS = 250;
const STATS_EVERY = 4; // ticks
const OPEN_MS = 3000; // for a server to answer, when there are others
const ALONE_MS = 15000; // the same when there are none
const CONNECT_MS = 3000; // for media to get through then, and longer each time in a row that it does not
const CONNECT_MOST_MS = 15000;
const LOOK_MS = 200; // between two looks for a server that restarts, and as much again at random
const DOUBT_MS = 300; // without a packet, when the server seems to be gone
const DEAF = 2; // a server that sends no media still reports, each two seconds
const CUT_OFF = 4; // another path has not helped
const TAIL_MS = 700; // packets this soon after "inactive" are still the old ones

/**
 * States: idle, connecting, live, stalled (no packet), paused (the publisher is
 * gone and may return), offline (nobody publishes; asks again), reconnecting,
 * failed (needs somebody: `error` says why), stopped.
 *
 * Events (CustomEvent, facts in `detail`): statechange, no-media,
 * media-recovered, stats (summary), stats:<type> (each RTCStats), layers,
 * qualitychange, viewercount, overload ({step}: what the server does to carry its load), latency, reconnecting, chatchannel (RTCDataChannel of
 * a new session), place ({url}: the endpoint of a new session, when it is another one).
 */
export class WhepPlayer extends EventTarget {
  #options;
  #run = null;
  #connection = null;
  #meter = null;
  #latency = null;
  #choice = 'auto';
  #chosen = false; // the session has been told
  #packets = 0;
  #packetAt = 0;
  #ticks = 0;
  #size = '';
  #inactiveAt = 0;
  #places = null;
  #heard = 0; // bytes of all kinds when media was missed
  #deaf = 0; // times in a row that these were the same
  #unreached = 0; // sessions in a row without a packet

  /**
   * @param {object} options
   * @param {string} options.url WHEP endpoint
   * @param {HTMLVideoElement} [options.video] gets the stream; also used to measure latency
   * @param {string} [options.token] bearer token
   * @param {RTCIceServer[]} [options.iceServers] in addition to what the server names
   * @param {string} [options.chat] asks for a chat channel in each session: its subprotocol
   * @param {number} [options.noMediaTimeout] milliseconds without a packet, default 1000
   */
  constructor(options) {
    super();
    this.#options = {noMediaTimeout: 1000, token: '', ...options};
    this.state = 'idle';
    this.since = Date.now();
    this.error = null;
    this.layers = [];
    this.viewers = 0;
    this.stats = null;
    this.stream = null;
  }

  get choice() {
    return this.#choice;
  }

  get canSelectLayer() {
    return Boolean(this.#connection?.canSelectLayer) && this.layers.length > 0;
  }

  /** The WHEP endpoint that was named. */
  get endpoint() {
    return this.#options.url;
  }

  /** The peer connection in use, for tests and debugging. */
  get peerConnection() {
    return this.#connection?.pc || null;
  }

  /** URL of the session resource, "" when there is none. A secret. */
  get sessionUrl() {
    return this.#connection?.session?.url || '';
  }

  start() {
    if (this.#run) return;
    this.#run = new AbortController();
    this.#latency = new LatencyMeter(this.#options.video);
    this.#loop(this.#run.signal);
  }

  /** Ends the session. The player can be started again. */
  stop({keepalive = false} = {}) {
    if (!this.#run) return;
    this.#run.abort();
    this.#run = null;
    this.#latency.close();
    this.#connection?.close({keepalive});
    this.#connection = null;
    this.#setState('stopped');
  }

  /** Asks for a layer: "auto", a rid, a height ("720p"), or an extension body. */
  async selectLayer(choice) {
    this.#choice = choice || 'auto';
    this.#emit('qualitychange', this.#quality());
    await this.#applyChoice();
  }

  async #applyChoice() {
    if (!this.canSelectLayer) return;
    const response = await this.#connection.selectLayer(layerRequest(this.#choice, this.layers));
    if (!response.ok) throw await problem(response);
  }

  async #loop(signal) {
    const backoff = new Backoff();
    this.#places = new Places(this.#options.url);
    let url = this.#options.url;
    let previous = null;
    let patience = 0; // until when a server that restarts is looked for
    let lost = ''; // URL of a session whose server does not answer
    let tried = 0; // places in a row that did not answer
    const opened = () => {
      backoff.reset();
      tried = 0;
      if (lost) reportUnreachable(url, lost, this.#options.token);
      lost = '';
    };
    while (!signal.aborted) {
      if (!['offline', 'reconnecting'].includes(this.state)) this.#setState('connecting');
      try {
        const ended = await this.#session(url, previous, signal, opened);
        previous = ended.reason === 'moved' ? ended.connection : null;
        if (['lost', 'unreached'].includes(ended.reason)) lost = ended.connection.session.url;
        if (['lost', 'unreached', 'ice'].includes(ended.reason)) this.#places.failed(url);
        if (!previous) ended.connection.close({tell: !['gone', 'lost'].includes(ended.reason)});
        url = ended.url || this.#places.first;
        patience = performance.now() + 1000 * (ended.wait || 0);
        this.#setState('reconnecting');
        this.#emit('reconnecting', {reason: ended.reason, wait: 0});
      } catch (err) {
        if (performance.now() < patience && !signal.aborted && (err.temporary ?? false)) {
          await pause(LOOK_MS * (1 + Math.random()), signal).catch(() => {});
          continue;
        }
        previous?.close();
        previous = null;
        if (noServer(err)) this.#places.failed(url);
        const now = this.#places.first !== url && ++tried < this.#places.size;
        url = this.#places.first;
        if (signal.aborted || (!now && !(await this.#refused(err, backoff, signal)))) return;
        if (!now) tried = 0;
      }
    }
  }

  /** Opens one session; resolves when it ends. */
  async #session(url, previous, signal, opened) {
    let end;
    const ended = new Promise((resolve) => (end = resolve));
    const stream = new MediaStream();
    const connection = new ViewerConnection({
      onTrack: (track) => this.#track(stream, track),
      onChat: (channel) => this.#emit('chatchannel', {channel}),
      onEvent: (name, data) => this.#event(name, data),
      onEnd: (reason, to, wait) => end({reason, url: to, wait, connection}),
    });
    try {
      const limit = this.#places.size > 1 ? OPEN_MS : ALONE_MS;
      await within(limit, signal, (both) => connection.open(url, {...this.#options, signal: both}));
      signal.throwIfAborted();
    } catch (err) {
      connection.close();
      throw err;
    }
    previous?.close();
    this.#places.opened(url, connection.session.links);
    opened();
    this.#emit('place', {url});
    this.error = null;
    if (this.state !== 'live') this.#setState('connecting');
    this.#inactiveAt = 0;
    this.#chosen = false;
    this.#latency.reset();
    this.#connection = connection;
    this.#meter = new InboundMeter();
    this.#packets = 0;
    this.#packetAt = performance.now();
    const timer = setInterval(() => this.#tick(connection), TICK_MS);
    signal.addEventListener('abort', () => end({reason: 'stopped', connection}), {once: true});
    try {
      return await ended;
    } finally {
      clearInterval(timer);
      if (this.#connection === connection) this.#connection = null;
    }
  }

  /** After a refused POST: waits and says whether to try again. */
  async #refused(err, backoff, signal) {
    this.error = err;
    if (!(err instanceof HttpError) || !err.temporary) {
      this.#run = null;
      this.#latency.close();
      this.#setState('failed');
      return false;
    }
    this.#setState(err.code === 'stream-offline' ? 'offline' : 'reconnecting');
    const wait = backoff.next(err.retryAfter);
    this.#emit('reconnecting', {reason: err.code || String(err.status), wait});
    await pause(wait, signal).catch(() => {});
    return !signal.aborted;
  }

  #track(stream, track) {
    stream.addTrack(track);
    this.stream = stream;
    const {video} = this.#options;
    if (video && video.srcObject !== stream) video.srcObject = stream;
    this.#emit('stream', {stream});
  }

  #event(name, data) {
    if (name === 'layers') this.#layers(layersOf(data));
    if (name === 'viewercount') {
      this.viewers = Number(data?.viewercount ?? data?.count ?? data ?? 0) || 0;
      this.#emit('viewercount', {count: this.viewers});
    }
    if (name === 'overload') this.#emit('overload', {step: String(data?.step || 'none')});
    if (name === 'inactive') {
      this.#inactiveAt = performance.now();
      this.#setState('paused');
    }
    if (name === 'active') {
      this.#inactiveAt = 0;
      if (this.state === 'paused') this.#setState('stalled');
    }
  }

  #layers(layers) {
    this.layers = layers;
    this.#emit('layers', {layers});
    if (this.#chosen || !this.canSelectLayer) return;
    this.#chosen = true;
    if (this.#choice !== 'auto') this.#applyChoice().catch((error) => this.#emit('error', {error}));
  }

  async #tick(connection) {
    let report;
    try {
      report = await connection.pc.getStats();
    } catch {
      return;
    }
    if (connection !== this.#connection) return;
    const patience = Math.min(CONNECT_MS * 2 ** this.#unreached, CONNECT_MOST_MS);
    if (this.#places.size > 1 && connection.connecting > patience) {
      this.#unreached++;
      connection.leave('unreached');
      return;
    }
    connection.observe(report);
    this.#emit('report', {report});
    this.#watchPackets(connection, report);
    if (this.#ticks++ % STATS_EVERY === 0) this.#report(report);
  }

  #watchPackets(connection, report) {
    let video = 0;
    let audio = 0;
    let heard = 0;
    for (const s of report.values()) {
      if (s.type === 'candidate-pair') heard += s.bytesReceived || 0;
      if (s.type !== 'inbound-rtp') continue;
      if (s.kind === 'video') video += s.packetsReceived || 0;
      else audio += s.packetsReceived || 0;
    }
    const packets = video || audio;
    const now = performance.now();
    if (packets !== this.#packets) {
      this.#packets = packets;
      this.#packetAt = now;
      connection.flows();
      this.#unreached = 0;
      this.#mediaFlows();
    } else if (now - this.#packetAt > (connection.doubtful ? DOUBT_MS : this.#options.noMediaTimeout)) {
      this.#noMedia(connection, now, heard);
    }
  }

  #mediaFlows() {
    if (this.state === 'live') return;
    if (this.#inactiveAt && this.#packetAt - this.#inactiveAt < TAIL_MS) return;
    const again = ['stalled', 'paused', 'reconnecting'].includes(this.state);
    this.error = null;
    this.#setState('live');
    if (again) this.#emit('media-recovered', {});
  }

  #noMedia(connection, now, heard) {
    this.#deaf = heard === this.#heard ? this.#deaf + 1 : 0;
    this.#heard = heard;
    this.#packetAt = now; // ask again after the same time
    connection.doubtful = false;
    if (this.state === 'live' || this.state === 'connecting') {
      this.#setState(this.#inactiveAt ? 'paused' : 'stalled');
      this.#emit('no-media', {});
    }
    this.#ask(connection, this.#deaf >= DEAF);
  }

  /** No media may mean no server: then another one, if any is known. */
  async #ask(connection, deaf) {
    const answer = await connection.check();
    if (connection !== this.#connection) return;
    if (answer === 'alive' && this.state === 'reconnecting') this.#setState('stalled');
    const elsewhere = this.#places.size > 1;
    if (answer === 'alive' && deaf && !connection.revive() && elsewhere && this.#deaf >= CUT_OFF) connection.leave('unreached');
    if (answer !== 'unknown' || !['stalled', 'reconnecting'].includes(this.state)) return;
    if (elsewhere) {
      connection.leave('lost');
      return;
    }
    this.error = new HttpError(0, 'network', '', 0);
    this.#setState('reconnecting');
    this.#emit('reconnecting', {reason: 'network', wait: this.#options.noMediaTimeout});
  }

  #report(report) {
    for (const s of report.values()) this.#emit(`stats:${s.type}`, s);
    this.stats = this.#meter.update(report);
    this.#emit('stats', this.stats);
    const latency = this.#latency.read(report, this.stats);
    if (latency && this.state === 'live') this.#emit('latency', latency);
    const {width = 0, height = 0} = this.stats.video || {};
    if (`${width}x${height}` === this.#size) return;
    this.#size = `${width}x${height}`;
    this.#emit('qualitychange', this.#quality());
  }

  #quality() {
    const {width = 0, height = 0} = this.stats?.video || {};
    return {choice: this.#choice, width, height};
  }

  #setState(state) {
    if (this.state === state) return;
    this.state = state;
    this.since = Date.now();
    this.#emit('statechange', {state, error: this.error});
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, {detail}));
  }
}

/** True when another server may do better. */
function noServer(err) {
  return err instanceof HttpError && (err.status === 0 || err.status >= 500);
}
