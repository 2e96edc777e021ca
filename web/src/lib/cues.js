// The WebVTT track of thumbnails.

/** Reads the cues of a WebVTT track of pictures: [{from, to, uri}] in seconds, and when second 0 was. */
export function parseThumbnails(text) {
  const start = /X-RECORDING-START=(\S+)/.exec(text);
  const cues = [];
  const seconds = (s) => s.split(':').reduce((sum, part) => 60 * sum + Number(part), 0);
  for (const m of text.matchAll(/([\d:.]+) --> ([\d:.]+)[^\n]*\n(\S+)/g)) {
    cues.push({from: seconds(m[1]), to: seconds(m[2]), uri: m[3]});
  }
  return {start: start ? Date.parse(start[1]) : NaN, cues};
}
