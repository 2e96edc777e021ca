// How fast the recorded side plays at the live edge.

const THIN_S = 0.15; // of buffer: time to build one up
const SLOW = 0.9;
const RATES = [[0.6, 1.25], [0.25, 1.1], [0.08, 1.04]]; // seconds behind, playback rate

/** Playback rate for so many seconds behind the place at the live edge, and so many in the buffer. */
export function rateAtEdge(behind, buffered) {
  if (buffered < THIN_S) return SLOW;
  return RATES.find(([s]) => behind > s)?.[1] ?? 1;
}
