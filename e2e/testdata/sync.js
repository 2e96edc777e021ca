// How far sound and picture are apart, of a publish page with a drawn clock.

// What a page has heard and seen so far, for the log of a test that misses something.
const sensed = {chunks: 0, loudest: 0, frames: 0, unread: 0, tracks: []};
globalThis.senses = () => {
  const {context, report, tracks, ...counts} = sensed;
  const sound = [...(report?.values() ?? [])].find((s) => s.type === 'inbound-rtp' && s.kind === 'audio');
  return {
    ...counts, beeps: globalThis.beeps?.length, pictures: globalThis.pictures?.length,
    tracks: tracks.map(({kind, muted, enabled, readyState}) => ({kind, muted, enabled, readyState})),
    context: context && [context.state, context.currentTime],
    sound: sound && {samples: sound.totalSamplesReceived, concealed: sound.concealedSamples, level: sound.audioLevel, energy: sound.totalAudioEnergy},
  };
};

// beep(), in the publish page before it makes its sound, has the tone sound for 100 ms
// at each half second of the clock.
globalThis.beep = () => {
  const make = AudioContext.prototype.createGain;
  AudioContext.prototype.createGain = function () {
    sensed.context = this;
    const gain = make.call(this);
    let last = 0;
    const plan = () => {
      const now = performance.timeOrigin + performance.now();
      const next = Math.ceil((now + 100) / 500) * 500;
      if (next === last) return;
      last = next;
      const at = this.currentTime + (next - now) / 1000;
      gain.gain.setValueAtTime(0.5, at);
      gain.gain.setValueAtTime(0, at + 0.1);
    };
    setTimeout(() => {
      gain.gain.value = 0;
      setInterval(plan, 50);
    });
    return gain;
  };
  const open = AudioContext.prototype.createMediaStreamDestination;
  AudioContext.prototype.createMediaStreamDestination = function () {
    const out = open.call(this);
    hear(out.stream.getAudioTracks()[0]);
    return out;
  };
};

const median = (all) => all.sort((a, b) => a - b)[all.length >> 1];

// after(times, picture) is how long beeps are after what a picture that is so late
// shows.
const after = (times, picture) => median(times.map((t) => ((((t - picture) % 500) + 750) % 500) - 250));

// lag() is how late beeps are where they are published.
globalThis.lag = () => after(beeps, 0);

// hear(track) notes when beeps of a track begin, in milliseconds since the epoch.
globalThis.hear = async (track) => {
  globalThis.beeps = [];
  sensed.tracks.push(track);
  const reader = new MediaStreamTrackProcessor({track}).readable.getReader();
  let quiet = 0; // frames of silence
  for (;;) {
    const {value: data, done} = await reader.read();
    if (done) return;
    const samples = new Float32Array(data.numberOfFrames);
    data.copyTo(samples, {planeIndex: 0, format: 'f32-planar'});
    const first = samples.findIndex((s) => Math.abs(s) > 0.05);
    sensed.chunks++;
    sensed.loudest = samples.reduce((most, s) => Math.max(most, Math.abs(s)), sensed.loudest);
    if (first >= 0 && quiet > data.sampleRate / 5) {
      const end = performance.timeOrigin + performance.now();
      beeps.push(end - ((samples.length - first) * 1000) / data.sampleRate);
    }
    quiet = first < 0 ? quiet + samples.length : 0;
    data.close();
  }
};

// clockIn(ctx, frame) reads the drawn clock (lib/clock.js); 0 when it cannot be read.
const clockIn = (ctx, frame) => {
  ctx.drawImage(frame, 0, 0, 320, 180);
  const {data} = ctx.getImageData(0, 0, 180, 180);
  const bit = (i) => Number(data[4 * (Math.floor((Math.floor(i / 8) + 0.5) * 22.5) * 180 + Math.floor(((i % 8) + 0.5) * 22.5)) + 1] > 127);
  const number = (from, to) => {
    let n = 0;
    for (let i = from; i < to; i++) n = 2 * n + bit(i);
    return n;
  };
  const time = number(0, 48);
  return time % 65521 === number(48, 64) ? time : 0;
};

// look(track) notes of each picture its timestamp, the clock in it, and when it was
// there to be shown.
globalThis.look = async (track) => {
  globalThis.pictures = [];
  sensed.tracks.push(track);
  const ctx = new OffscreenCanvas(320, 180).getContext('2d', {willReadFrequently: true});
  const reader = new MediaStreamTrackProcessor({track}).readable.getReader();
  for (;;) {
    const {value: frame, done} = await reader.read();
    if (done) return;
    const at = performance.timeOrigin + performance.now();
    const time = clockIn(ctx, frame);
    sensed.frames++;
    if (!time) sensed.unread++;
    if (time) pictures.push({rtp: frame.metadata().rtpTimestamp, time, late: at - time});
    frame.close();
  }
};

// perceive(player) hears and looks at what a player plays.
globalThis.perceive = ({player, video: {srcObject}}) => {
  player.addEventListener('report', ({detail}) => (sensed.report = detail.report));
  hear(srcObject.getAudioTracks()[0]);
  look(srcObject.getVideoTracks()[0]);
};

// anew() begins another part.
const from = {beeps: 0, pictures: 0};
globalThis.anew = () => Object.assign(from, {beeps: beeps.length, pictures: pictures.length});

// enough(n) says that n beeps and some pictures are in this part.
globalThis.enough = (n) => beeps.length >= from.beeps + n && pictures.length >= from.pictures + 10;

// together() returns, in milliseconds, how long the sound of this part is after its
// picture, and how far the timestamps of pictures have moved against the clock in them
// since the first picture.
globalThis.together = () => {
  const shown = pictures.slice(from.pictures);
  const picture = median(shown.map((p) => p.late));
  const moved = shown.map((p) => ((p.rtp - pictures[0].rtp) | 0) / 90 - (p.time - pictures[0].time));
  return {played: after(beeps.slice(from.beeps), picture), moved: median(moved), pictures: shown.length};
};
