// The qualities of a library, chosen by the height of their picture.

import {SOUND} from './library.js';

/** The library's levels, which are there once for each kind of sound, with one kind of it. */
function levelsOf(hls) {
  const all = (hls?.levels || []).map((level, i) => ({level, i}));
  const same = (l) => all.filter((o) => o.level.uri === l.level.uri);
  return all.filter((l) => l === (same(l).find((o) => o.level.audioCodec === SOUND) || same(l)[0]));
}

/** Index of the level whose height is nearest, -1 when there are none. */
export function nearestLevel(hls, height) {
  const off = ({level}) => Math.abs(level.height - height);
  return levelsOf(hls).reduce((best, l) => (best && off(best) <= off(l) ? best : l), null)?.i ?? -1;
}

/** Qualities, best first, in the form of WHEP's layers. */
export function layersOfLibrary(hls) {
  return levelsOf(hls).map(({level: l, i}) => ({rid: `hls-${i}`, width: l.width, height: l.height, bitrate: l.averageBitrate || l.bitrate, active: true}))
    .sort((a, b) => b.height - a.height || b.bitrate - a.bitrate);
}
