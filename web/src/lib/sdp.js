// The few edits of session descriptions that the APIs do not offer.

const lines = (sdp) => sdp.split(/\r\n|\n/);

/** Value of the first line with this prefix, "" when there is none. */
export function valueOf(sdp, prefix) {
  const line = lines(sdp).find((l) => l.startsWith(prefix));
  return line ? line.slice(prefix.length) : '';
}

/** Adds parameters to the fmtp line of every payload type of a codec. */
function addFmtp(sdp, codec, params) {
  const types = new Set();
  for (const l of lines(sdp)) {
    const m = /^a=rtpmap:(\d+) ([\w-]+)\//.exec(l);
    if (m && codec(m[2].toLowerCase())) types.add(m[1]);
  }
  const done = new Set();
  const out = lines(sdp).map((l) => {
    const m = /^a=fmtp:(\d+) /.exec(l);
    if (!m || !types.has(m[1])) return l;
    done.add(m[1]);
    return `${l};${params}`;
  });
  return out.flatMap((l) => {
    const m = /^a=rtpmap:(\d+) /.exec(l);
    return m && types.has(m[1]) && !done.has(m[1]) ? [l, `a=fmtp:${m[1]} ${params}`] : [l];
  }).join('\r\n');
}

/** Asks for stereo Opus. Discontinuous transmission stays off unless dtx. */
export function stereoOpus(sdp, {dtx = false, bitrate = 0} = {}) {
  const params = ['stereo=1', 'sprop-stereo=1'];
  if (dtx) params.push('usedtx=1');
  if (bitrate > 0) params.push(`maxaveragebitrate=${bitrate}`);
  return addFmtp(sdp, (name) => name === 'opus', params.join(';'));
}

/**
 * Tells Chromium where its bandwidth estimate starts, so that the upper layers
 * need no slow climb. Goes into the remote description; others ignore it.
 */
export function startBitrate(sdp, kbps) {
  const codecs = new Set(['vp8', 'vp9', 'h264', 'av1', 'h265']);
  return addFmtp(sdp, (name) => codecs.has(name), `x-google-start-bitrate=${kbps}`);
}

/**
 * Lets a receiver measure the round trip (RFC 3611 section 4.4): Chromium then asks
 * again for lost packets in time and waits for them. Others ignore it.
 */
export function roundTrips(sdp) {
  return lines(sdp).flatMap((l) => {
    const m = /^a=rtcp-fb:(\d+) nack$/.exec(l);
    return m ? [l, `a=rtcp-fb:${m[1]} rrtr`] : [l];
  }).join('\r\n');
}

/** A trickle fragment (RFC 8840) with the candidates for one media section. */
export function fragment({ufrag, pwd, mid, kind, candidates, complete}) {
  const out = [
    `a=ice-ufrag:${ufrag}`,
    `a=ice-pwd:${pwd}`,
    `m=${kind} 9 UDP/TLS/RTP/SAVPF 0`,
    `a=mid:${mid}`,
    ...candidates.map((c) => `a=${c.replace(/^a=/, '')}`),
  ];
  if (complete) out.push('a=end-of-candidates');
  return out.join('\r\n') + '\r\n';
}

/** First media section: where a bundled session's candidates belong. */
export function firstSection(sdp) {
  return {
    ufrag: valueOf(sdp, 'a=ice-ufrag:'),
    pwd: valueOf(sdp, 'a=ice-pwd:'),
    mid: valueOf(sdp, 'a=mid:') || '0',
    kind: valueOf(sdp, 'm=').split(' ')[0] || 'audio',
  };
}

/** The answer with the ICE parameters and candidates of a restart fragment. */
export function withIce(answer, frag) {
  const ufrag = valueOf(frag, 'a=ice-ufrag:');
  const pwd = valueOf(frag, 'a=ice-pwd:');
  const candidates = lines(frag).filter((l) => l.startsWith('a=candidate:'));
  let first = true;
  return lines(answer)
    .filter((l) => !l.startsWith('a=candidate:') && l !== 'a=end-of-candidates')
    .flatMap((l) => {
      if (l.startsWith('a=ice-ufrag:')) return [`a=ice-ufrag:${ufrag}`];
      if (!l.startsWith('a=ice-pwd:')) return [l];
      const extra = first ? candidates : [];
      first = false;
      return [`a=ice-pwd:${pwd}`, ...extra];
    })
    .join('\r\n');
}
