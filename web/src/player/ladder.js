// The qualities of a library, chosen by the height of their picture.

/** Index of the level whose height is nearest, -1 when there are none. */
export function nearestLevel(hls, height) {
  const off = (i) => Math.abs(hls.levels[i].height - height);
  return (hls?.levels || []).reduce((best, l, i) => (best >= 0 && off(best) <= off(i) ? best : i), -1);
}

/** Qualities, best first, in the form of WHEP's layers. */
export function layersOfLibrary(hls) {
  return (hls?.levels || []).map((l, i) => ({rid: `hls-${i}`, width: l.width, height: l.height, bitrate: l.averageBitrate || l.bitrate, active: true}))
    .sort((a, b) => b.height - a.height || b.bitrate - a.bitrate);
}
