// hls.js as the recorded side uses it.

import {whole} from './positions.js';

export const SOUND = 'opus'; // as it was sent; the other is made of it, and later
export const LOOK_S = 0.1; // so near to the end of a segment, the library starts with the next
const STALL_S = 0.2; // what each stall adds to the distance to the live edge

/** An instance that loads nothing by itself, and takes from `ahead` what that has. */
export function makeLibrary(Hls, {token, ahead}) {
  const {loader, audioStreamController} = Hls.DefaultConfig;
  const fetched = ahead.loader(loader);
  const hls = new Hls({
    autoStartLoad: false, enableWorker: false, lowLatencyMode: true, backBufferLength: 20, maxBufferLength: 12,
    liveSyncOnStallIncrease: STALL_S, testBandwidth: false, liveDurationInfinity: true, capLevelToPlayerSize: true, startFragPrefetch: true,
    maxFragLookUpTolerance: LOOK_S, fLoader: fetched, pLoader: fetched, audioStreamController: prompt(audioStreamController),
    audioPreference: {audioCodec: SOUND},
    xhrSetup: (xhr) => token && xhr.setRequestHeader('Authorization', `Bearer ${token}`),
  });
  hls.on(Hls.Events.MANIFEST_PARSED, () => keepOneSound(hls));
  return hls;
}

/** Leaves out the levels with another sound that are there with the usual one too: going between them empties the buffer of sound. */
export function keepOneSound(hls) {
  for (let i = hls.levels.length - 1; i >= 0; i--) {
    const {uri, audioCodec} = hls.levels[i];
    if (audioCodec !== SOUND && hls.levels.some((l) => l.uri === uri && l.audioCodec === SOUND)) hls.removeLevel(i);
  }
}

/**
 * The library's loader of sound, with two differences. Sound that waits for the first picture goes on with it, not at
 * the library's next look; and a playlist of the picture that has holes tells it nothing: it would read them.
 */
export function prompt(Base) {
  return class extends Base {
    onLevelLoaded(name, data) {
      if (whole(data.details)) super.onLevelLoaded(name, data);
    }

    onInitPtsFound(name, data) {
      super.onInitPtsFound(name, data);
      if (this.state === 'WAITING_INIT_PTS') this.tick();
      if (this.state === 'IDLE') this.tick();
    }
  };
}
