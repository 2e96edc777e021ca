// What a publisher sends: layers, bitrates, codec order.

// Bits per second that keep a layer of this height good at 30 frames per second.
const LADDER = [
  [2160, 12_000_000], [1440, 8_000_000], [1080, 4_500_000], [720, 2_500_000],
  [540, 1_200_000], [360, 500_000], [180, 150_000], [90, 60_000],
];

/** A good bitrate for a height and frame rate. */
export function bitrateFor(height, fps = 30) {
  const [, base] = LADDER.find(([h]) => height >= h) || LADDER[LADDER.length - 1];
  return Math.round(base * (fps > 45 ? 1.4 : 1));
}

// Of these a browser sends several layers only when each names its mode.
const NAMED = ['VP9', 'AV1'];

/**
 * RTCRtpEncodingParameters, worst layer first as simulcast wants it.
 * @param {{simulcast: boolean, height: number, fps: number, maxBitrate: number, codec?: string}} o
 */
export function encodings({simulcast, height, fps, maxBitrate, codec = ''}) {
  const top = maxBitrate || bitrateFor(height, fps);
  const common = {maxFramerate: fps, ...(NAMED.includes(codec) && {scalabilityMode: 'L1T3'})};
  if (!simulcast) return [{...common, maxBitrate: top}];
  const share = top / bitrateFor(height, fps);
  const layer = (rid, by) => ({
    ...common,
    rid,
    active: true,
    scaleResolutionDownBy: by,
    maxBitrate: by === 1 ? top : Math.round(bitrateFor(height / by, fps) * share),
  });
  return [layer('q', 4), layer('h', 2), layer('f', 1)];
}

/** Puts one codec first; the rest stays as a fallback. */
export function preferCodec(transceiver, name) {
  const codecs = RTCRtpSender.getCapabilities?.('video')?.codecs || [];
  const wanted = (c) => c.mimeType.toLowerCase() === `video/${name.toLowerCase()}`;
  if (!name || !codecs.some(wanted)) return;
  transceiver.setCodecPreferences([...codecs.filter(wanted), ...codecs.filter((c) => !wanted(c))]);
}

/** Names of the video codecs this browser can send. */
export function sendCodecs() {
  const names = (RTCRtpSender.getCapabilities?.('video')?.codecs || []).map((c) => c.mimeType.split('/')[1].toUpperCase());
  return ['VP8', 'H264', 'VP9', 'AV1', 'H265'].filter((c) => names.includes(c));
}
