// How long receivers wait for packets that are sent again.

const ROUND_TRIPS = 2.5; // a request or its answer may be lost too
const MARGIN_MS = 50; // until a loss is seen, and for the frame's last packet
const MAX_MS = 400;
const LOSSES = 2; // requests that are no accident
const FORGET = 0.8; // of the requests seen before, what counts at the next look
const CALM_MS = 15000; // without losses until the wait ends

/**
 * Plays at once while nothing is lost, and a few round trips later while packets
 * must be asked for again, so that repairs come in time. Sound waits for as long as
 * the picture: left to themselves, browsers take many seconds to bring them together.
 */
export class RepairWait {
  #receivers;
  #asked = 0;
  #recent = 0;
  #lossAt = -Infinity;
  #target = 0;

  constructor(...receivers) {
    this.#receivers = receivers;
    this.#set(0);
  }

  /** Takes a RTCStatsReport; now is in ms. */
  update(report, now) {
    let rtt = 0;
    let asked = 0;
    for (const s of report.values()) {
      if (s.type === 'inbound-rtp' && s.kind === 'video') asked += s.nackCount || 0;
      if (s.type === 'candidate-pair' && s.nominated) rtt = Math.max(rtt, 1000 * (s.currentRoundTripTime || 0));
    }
    this.#recent = FORGET * this.#recent + Math.max(0, asked - this.#asked);
    this.#asked = asked;
    if (this.#recent >= LOSSES) {
      this.#lossAt = now;
      this.#set(Math.min(Math.max(this.#target, ROUND_TRIPS * rtt + MARGIN_MS), MAX_MS));
    } else if (now - this.#lossAt > CALM_MS) {
      this.#set(0);
    }
  }

  #set(ms) {
    this.#target = Math.round(ms);
    for (const r of this.#receivers) {
      if ('jitterBufferTarget' in r) r.jitterBufferTarget = this.#target;
      else if ('playoutDelayHint' in r) r.playoutDelayHint = this.#target / 1000;
    }
  }
}
