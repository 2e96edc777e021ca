// How long to wait for packets that are sent again.

const ROUND_TRIPS = 2.5; // a request or its answer may be lost too
const ROUND_TRIPS_MS = 6000; // the shortest round trip of so long counts: a queue that fills for a moment is not the path
const MARGIN_MS = 50; // until a loss is seen, and for the frame's last packet
const MAX_MS = 400;
const LOSSES = 2; // requests that are no accident
const FORGET = 0.8; // of the requests seen before, what counts at the next look
const CALM_MS = 15000; // without losses until the wait ends

/**
 * No wait while nothing is lost, and a few round trips while packets must be asked for
 * again, so that repairs come in time.
 */
export class RepairWait {
  #asked = 0;
  #recent = 0;
  #lossAt = -Infinity;
  #wait = 0;
  #roundTrips = []; // {at, ms}, of late

  /** Takes a RTCStatsReport; now is in ms. Returns the wait in ms. */
  update(report, now) {
    let rtt = 0;
    let asked = 0;
    for (const s of report.values()) {
      if (s.type === 'inbound-rtp' && s.kind === 'video') asked += s.nackCount || 0;
      if (s.type === 'candidate-pair' && s.nominated) rtt = Math.max(rtt, 1000 * (s.currentRoundTripTime || 0));
    }
    if (rtt) this.#roundTrips = [...this.#roundTrips.filter((r) => now - r.at < ROUND_TRIPS_MS), {at: now, ms: rtt}];
    this.#recent = FORGET * this.#recent + Math.max(0, asked - this.#asked);
    this.#asked = asked;
    if (this.#recent >= LOSSES) {
      this.#lossAt = now;
      this.#wait = Math.round(Math.min(Math.max(this.#wait, ROUND_TRIPS * this.#shortest() + MARGIN_MS), MAX_MS));
    } else if (now - this.#lossAt > CALM_MS) {
      this.#wait = 0;
    }
    return this.#wait;
  }

  #shortest() {
    return this.#roundTrips.length ? Math.min(...this.#roundTrips.map((r) => r.ms)) : 0;
  }
}
