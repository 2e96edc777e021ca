// Sound and picture that belong together are played together.

const NEAR_MS = 20; // apart that nobody notices
const FAR_MS = 60; // apart that sound alone would take too long to catch up
const STEP_MS = 120; // a picture is held back by so much at once: longer looks like a stall
const MAX_MS = 400; // neither is held back for longer: what bad links need, and no stall makes the viewer late
const LOOKS = 3; // in a row that agree: one alone may be that of a late picture
const BLIND = 8; // readings in a row that cannot be compared: more than a frozen picture makes
const SLACK_MS = 20; // a jitter buffer of sound is content with a frame more or less than it is told

/** The mean delay of a jitter buffer between two readings, in ms; null while nothing left it. */
class Delay {
  #sum = 0;
  #count = 0;

  read(seconds, count) {
    const sum = 1000 * (seconds || 0);
    const mean = count > this.#count ? (sum - this.#sum) / (count - this.#count) : null;
    [this.#sum, this.#count] = [sum, count || 0];
    return mean;
  }
}

/**
 * Holds back the one of sound and picture that is ahead of the other, and lets it go when
 * the other has caught up: left to themselves, browsers take many seconds for it. What is
 * held is let go before the other is held, so that delay does not add up, and when they
 * cannot be compared. One for each connection.
 */
export class Together {
  #receivers; // {audio, video}
  #held = {audio: 0, video: 0}; // ms
  #wait = 0;
  #looks = []; // the last ones: {ahead, level} of the sound, ms
  #blind = BLIND; // readings since the last that could be compared
  #sound = new Delay();
  #soundTarget = new Delay();
  #pictureTarget = new Delay();

  constructor(audio, video) {
    this.#receivers = {audio, video};
    this.#apply();
  }

  /** Takes a RTCStatsReport; both are held back for wait ms at least. */
  update(report, wait) {
    const {audio, video} = inbound(report);
    const level = this.#sound.read(audio.jitterBufferDelay, audio.jitterBufferEmittedCount);
    const soundTarget = this.#soundTarget.read(audio.jitterBufferTargetDelay, audio.jitterBufferEmittedCount);
    const pictureTarget = this.#pictureTarget.read(video.jitterBufferTargetDelay, video.jitterBufferEmittedCount);
    // Sound is slow to come back from a wait: the picture keeps to it.
    if (wait < this.#wait) this.#held.video = Math.max(this.#held.video, this.#wait);
    this.#wait = wait;
    const ahead = audio.estimatedPlayoutTimestamp - video.estimatedPlayoutTimestamp;
    if (level === null || pictureTarget === null || Number.isNaN(ahead)) [this.#looks, this.#blind] = [[], this.#blind + 1];
    else [this.#looks, this.#blind] = [[...this.#looks, {ahead, level}].slice(-LOOKS), 0];
    if (this.#blind >= BLIND) this.#held = {audio: 0, video: 0};
    if (this.#looks.length === LOOKS) this.#correct(soundTarget, pictureTarget);
    this.#apply();
  }

  #correct(soundTarget, pictureTarget) {
    const held = this.#held;
    const late = Math.max(...this.#looks.map((l) => l.ahead)); // negative when the sound is late in all looks
    const early = Math.min(...this.#looks.map((l) => l.ahead));
    if (early > NEAR_MS && held.video <= this.#wait) {
      held.audio = Math.max(...this.#looks.map((l) => l.level)) + early + SLACK_MS;
    } else if (early > NEAR_MS) {
      this.#show(pictureTarget - early);
    } else if (late < -NEAR_MS) {
      const waits = held.audio > this.#wait && soundTarget < held.audio + SLACK_MS; // else the sound is late by itself
      if (waits) held.audio = Math.min(held.audio, Math.min(...this.#looks.map((l) => l.level)) + late - SLACK_MS);
      else held.audio = 0;
      if (!waits || late < -FAR_MS) this.#show(Math.min(pictureTarget - late, Math.max(held.video, pictureTarget) + STEP_MS));
    }
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
