// A model of how Chromium plays sound and picture, for the tests of together.js: its two
// jitter buffers (NetEq and VCMTiming of libwebrtc), and its own synchronization
// (StreamSynchronization), which once a second adds to the wait of the one that is ahead.

const TICK = 0.25; // seconds, of readings
const ADAPT = 100; // ms that a picture changes its wait in a second
const HURRY = 330; // ms that much sound catches up in a second
const HASTEN = 60; // and little sound
const SLOW = 75; // ms that sound falls back in a second

/** A player. `own` is what a jitter buffer needs, `level` how long it holds back, in ms. */
globalThis.Playout = class {
  sound = {level: 40, own: 40, extra: 0, added: 0, sums: [0, 0, 0]};
  picture = {level: 20, own: 20, delay: 20, extra: 0, added: 0, sums: [0, 0, 0]};
  held = [{jitterBufferTarget: 0}, {jitterBufferTarget: 0}];
  path = 0; // how much later pictures come than their sound, ms
  #together;
  #ticks = 0;
  #average = 0;

  constructor(Together) {
    this.#together = new Together(...this.held);
  }

  /** How far what is heard is ahead of what is seen. */
  get ahead() {
    return this.picture.level + this.path - this.sound.level;
  }

  /** What both wait. */
  get wait() {
    return Math.min(this.picture.level, this.sound.level);
  }

  /** Lets time pass; returns for how many seconds of it the two were more than `apart` apart. */
  run(seconds, apart = 45) {
    let out = 0;
    for (let t = 0; t < seconds; t += TICK) {
      this.#play();
      this.#together.update(this.#report(), 0);
      if (Math.abs(this.ahead) > apart) out += TICK;
    }
    return out;
  }

  #play() {
    const {sound, picture} = this;
    [sound, picture].forEach((b, i) => (b.least = Math.max(this.held[i].jitterBufferTarget, b.added)));
    [sound, picture].forEach((b) => (b.target = Math.max(b.own, b.least)));
    const over = sound.level - sound.target;
    if (over > 20) sound.level -= TICK * Math.min(over > 300 ? HURRY : HASTEN, over / TICK);
    if (over < 0) sound.level += TICK * Math.min(SLOW, -over / TICK);
    picture.delay += Math.max(-TICK * ADAPT, Math.min(TICK * ADAPT, picture.target - picture.delay));
    picture.level = Math.max(picture.delay, picture.least);
    if (this.#ticks++ % (1 / TICK) === 0) this.#synchronize();
  }

  #synchronize() {
    const {sound, picture} = this;
    this.#average = (3 * this.#average + picture.target + this.path - sound.level) / 4;
    if (Math.abs(this.#average) < 30) return;
    const step = Math.min(80, Math.abs(this.#average) / 2);
    const [longer, shorter] = this.#average > 0 ? [picture, sound] : [sound, picture];
    this.#average = 0;
    // What one was made to wait is taken back before the other waits.
    if (longer.extra > 0) [longer.extra, shorter.extra] = [longer.extra - step, 0];
    else [longer.extra, shorter.extra] = [0, shorter.extra + step];
    for (const b of [sound, picture]) if (b.extra > 0) b.added = b.extra; // the last of it stays
  }

  #report() {
    const one = (b, kind, ahead) => {
      b.sums = [b.level, b.target, b.own].map((ms, i) => b.sums[i] + ms / 1000);
      const [jitterBufferDelay, jitterBufferTargetDelay, jitterBufferMinimumDelay] = b.sums;
      return {type: 'inbound-rtp', kind, jitterBufferDelay, jitterBufferTargetDelay, jitterBufferMinimumDelay, jitterBufferEmittedCount: this.#ticks, estimatedPlayoutTimestamp: 5e12 + ahead};
    };
    return new Map([[1, one(this.sound, 'audio', this.ahead)], [2, one(this.picture, 'video', 0)]]);
  }
};

/** Plays through half a minute of faults, then a minute without. Returns the longest wait that is left of n such. */
globalThis.afterFaults = (Together, n) => {
  let seed = 1;
  const chance = () => (seed = (seed * 1664525 + 1013904223) % 2 ** 32) / 2 ** 32;
  const faults = [
    (p) => (p.sound.level += 1500 * chance()), // the machine stands still
    (p) => (p.path = 300 * chance() - 50),
    (p) => (p.sound.own = 40 + 300 * chance() ** 2),
    (p) => (p.picture.own = 20 + 150 * chance()),
  ];
  const waits = Array.from({length: n}, () => {
    const p = new Playout(Together);
    for (let i = 0; i < 15; i++) {
      if (chance() < 0.7) faults[Math.floor(faults.length * chance())](p);
      p.run(2);
    }
    [p.path, p.sound.own, p.picture.own] = [0, 40, 20];
    p.run(60);
    return p.wait;
  });
  return Math.max(...waits);
};
