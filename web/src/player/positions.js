// Capture times and positions in the media, by a playlist as the library has read it.

const EDGE_S = 0.15; // as near to the live edge as a start may be
const HOLE_S = 0.1; // sound and picture do not begin at the same moment

/** Seconds at the end of a playlist that a start near the live edge may need. */
export const START_S = EDGE_S;

/** Whether a playlist has no holes: a delta update that could not be merged has them, and is asked for again. */
export function whole({deltaUpdateFailed, fragments}) {
  return !deltaUpdateFailed && !fragments.includes(null);
}

/** Position of a capture time, within what there is: of a moment that is missing, that of the next media. */
export function positionOf(capture, {fragments, edge}) {
  let best = fragments[0];
  for (const f of fragments) if (f.programDateTime && f.programDateTime <= capture) best = f;
  const next = best.gap && fragments.find((f) => !f.gap && f.start > best.start);
  const at = next ? next.start + HOLE_S : best.start + (capture - best.programDateTime) / 1000;
  return Math.max(fragments[0].start + HOLE_S, Math.min(at, edge - EDGE_S));
}

/** Capture time of a position; NaN where the playlist does not tell the time. */
export function captureOf(position, {fragments}) {
  const last = fragments.findLast((f) => f.programDateTime && f.start <= position);
  return last ? last.programDateTime + 1000 * (position - last.start) : NaN;
}

/** First and last capture time, null while they are unknown. */
export function rangeOf({fragments, edge}) {
  const first = fragments.find((f) => f.programDateTime);
  return first ? {from: first.programDateTime, to: captureOf(edge, {fragments})} : null;
}

/** URLs of the parts from the last keyframe before a position on. */
export function partsFrom(position, {partList}) {
  const parts = (partList || []).filter((p) => !p.gap);
  const from = parts.findLastIndex((p) => p.independent && p.start <= position);
  return from < 0 ? [] : parts.slice(from).map((p) => p.url);
}
