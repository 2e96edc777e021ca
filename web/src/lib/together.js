// Sound and picture that belong together are played together.

const NEAR_MS = 20; // apart that nobody notices
const FAR_MS = 60; // apart that sound alone would take too long to catch up
const STEP_MS = 120; // a picture is held back by so much at once: longer looks like a stall
const MAX_MS = 400; // neither is held back for longer: what bad links need, and no stall makes the viewer late
const LOOKS = 3; // in a row that agree: one alone may be that of a late picture
const BLIND = 8; // readings in a row that cannot be compared: more than a frozen picture makes
const SLACK_MS = 20; // a jitter buffer of sound is content with a frame more or less than it is told
const BACKLOG_MS = 150; // more sound than its jitter buffer wants: it stood still, and hurries now
const SEEN = 12; // readings in which a jitter buffer has not needed it
const LOOSE_MS = 100; // apart that many notice, while the browser lets go
const EASY_MS = 100; // that sound needs on a link without faults
const EASY = 20; // readings of such a link, until they may be apart
const REST = 8; // readings that a step of that takes

/** The means of a jitter buffer between two readings, in ms. */
class Buffer {
  #sums = [0, 0, 0];
  #count = 0;
  #all = []; // the last ones

  /** How long it holds back, what it wants to, and what it would want by itself; null while nothing left it. */
  read({jitterBufferDelay, jitterBufferTargetDelay, jitterBufferMinimumDelay, jitterBufferEmittedCount: count = 0}) {
    const sums = [jitterBufferDelay, jitterBufferTargetDelay, jitterBufferMinimumDelay ?? jitterBufferTargetDelay].map((s) => 1000 * (s || 0));
    const [level, target, own] = sums.map((s, i) => (s - this.#sums[i]) / (count - this.#count));
    const any = count > this.#count;
    [this.#sums, this.#count] = [sums, count];
    this.#all = any ? [...this.#all, {level, target, own}].slice(-SEEN) : [];
    return any ? {level, target, own} : null;
  }

  /** What it has not needed of late, beyond wait. */
  spare(wait) {
    if (this.#all.length < SEEN) return 0;
    return Math.min(...this.#all.map((b) => b.target)) - Math.max(wait, ...this.#all.map((b) => b.own));
  }
}

/**
 * Holds back the one of sound and picture that is ahead of the other, and lets it go when
 * the other has caught up: left to themselves, browsers take many seconds for it. What is
 * held is let go before the other is held, so that delay does not add up, and when they
 * cannot be compared. What both wait for without need is let go too; of that, what the
 * browser has added by itself goes only while the two are a little apart. One for each connection.
 */
export class Together {
  #receivers; // {audio, video}
  #held = {audio: 0, video: 0}; // ms
  #wait = 0;
  #looks = []; // the last ones: {ahead, level} of the sound, ms
  #blind = BLIND; // readings since the last that could be compared
  #easy = 0; // readings since the link had a fault
  #rest = 0; // readings until the next step
  #sound = new Buffer();
  #picture = new Buffer();

  constructor(audio, video) {
    this.#receivers = {audio, video};
    this.#apply();
  }

  /** Takes a RTCStatsReport; both are held back for wait ms at least. */
  update(report, wait) {
    const {audio, video} = inbound(report);
    const sound = this.#sound.read(audio);
    const picture = this.#picture.read(video);
    // Sound is slow to come back from a wait: the picture keeps to it.
    if (wait < this.#wait) this.#held.video = Math.max(this.#held.video, this.#wait);
    this.#wait = wait;
    const ahead = audio.estimatedPlayoutTimestamp - video.estimatedPlayoutTimestamp;
    if (!sound || !picture || Number.isNaN(ahead)) [this.#looks, this.#blind] = [[], this.#blind + 1];
    else this.#look(ahead, sound, picture);
    if (this.#blind >= BLIND) this.#held = {audio: 0, video: 0};
    this.#apply();
  }

  #look(ahead, sound, picture) {
    this.#looks = [...this.#looks, {ahead, level: sound.level}].slice(-LOOKS);
    this.#blind = 0;
    this.#easy = this.#wait || sound.own > EASY_MS ? 0 : this.#easy + 1;
    this.#rest--;
    if (sound.level > sound.target + BACKLOG_MS && ahead < -FAR_MS) {
      this.#held.audio = 0;
      this.#delay(-ahead, picture.target);
    } else if (this.#looks.length === LOOKS) {
      this.#correct(sound, picture);
    }
  }

  #correct(sound, picture) {
    const held = this.#held;
    const late = Math.max(...this.#looks.map((l) => l.ahead)); // negative when the sound is late in all looks
    const early = Math.min(...this.#looks.map((l) => l.ahead));
    const level = this.#looks.map((l) => l.level);
    const over = early - this.#loose(picture, held.video);
    const under = late + this.#loose(sound, held.audio);
    if (over > NEAR_MS && held.video <= this.#wait) {
      held.audio = Math.max(...level) + over + SLACK_MS;
    } else if (over > NEAR_MS) {
      this.#show(picture.target - over);
    } else if (under < -NEAR_MS) {
      const waits = held.audio > this.#wait && sound.target < held.audio + SLACK_MS; // else the sound is late by itself
      if (waits) held.audio = Math.min(held.audio, Math.min(...level) + under - SLACK_MS);
      else held.audio = 0;
      if (!waits || under < -FAR_MS) this.#delay(-under, picture.target);
    } else {
      this.#letGo(early, late);
    }
  }

  /** How far the two may be apart for what the browser has added to a jitter buffer. */
  #loose({target, own}, held) {
    return this.#easy < EASY ? 0 : Math.min(LOOSE_MS, Math.max(0, target - Math.max(own, held, this.#wait)));
  }

  #letGo(early, late) {
    const held = this.#held;
    const spare = Math.min(this.#sound.spare(this.#wait), this.#picture.spare(this.#wait));
    const both = Math.min(held.audio, held.video) - this.#wait;
    const room = LOOSE_MS - (held.audio > held.video ? early : -late);
    const step = Math.min(spare, both < SLACK_MS ? room : both, LOOSE_MS);
    if (step < SLACK_MS || this.#rest > 0 || (both < SLACK_MS && this.#easy < EASY)) return;
    held.audio -= step;
    held.video -= step;
    this.#rest = REST;
  }

  /** Holds the picture back for ms more than it waits now, a step at a time. */
  #delay(ms, now) {
    this.#show(Math.min(now + ms, Math.max(this.#held.video, now) + STEP_MS));
  }

  #show(ms) {
    this.#held.video = ms;
    this.#looks = []; // those to come are of other pictures
  }

  #apply() {
    for (const [kind, receiver] of Object.entries(this.#receivers)) {
      this.#held[kind] = Math.round(Math.min(Math.max(this.#held[kind], 0), MAX_MS));
      const ms = Math.max(this.#held[kind], this.#wait);
      if ('jitterBufferTarget' in receiver) receiver.jitterBufferTarget = ms;
      else if ('playoutDelayHint' in receiver) receiver.playoutDelayHint = ms / 1000;
    }
  }
}

function inbound(report) {
  const out = {audio: {}, video: {}};
  for (const s of report.values()) {
    if (s.type === 'inbound-rtp') out[s.kind] = s;
  }
  return out;
}
