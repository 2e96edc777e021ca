// The layers event of the WHEP server-sent events extension.

/**
 * Layers of the first video section, best first.
 * @returns {{rid: string, width: number, height: number, bitrate: number, fps: number, active: boolean}[]}
 */
export function layersOf(data) {
  // An array by the draft; some servers wrap it in an object.
  const lists = Object.values(data || {}).map((section) => section?.layers ?? section);
  const layers = (lists.find(Array.isArray) || []).map((l) => ({
    rid: String(l.rid ?? l.encodingId ?? ''),
    width: l.width || 0,
    height: l.height || l.heigth || l.heigh || 0, // the draft spells it both ways
    bitrate: l.bitrate || 0,
    fps: l.framerate || l.frameRate || 0,
    active: l.active ?? (l.bitrate || 0) > 0,
    spatial: l.spatialLayerId,
  })).sort((a, b) => b.height - a.height || b.bitrate - a.bitrate);
  // Of the same picture at several frame rates only the best is a choice.
  const pictures = layers.filter((l, i) => !layers.slice(0, i).some((o) => o.rid === l.rid && o.spatial === l.spatial));
  return pictures.map(({spatial, ...l}) => {
    if (!(spatial >= 0) || !pictures.some((o) => o.rid === l.rid && o.spatial !== spatial)) return l;
    const request = {...(l.rid && {rid: l.rid}), spatialLayerId: spatial};
    return {...l, rid: `${l.rid}/${spatial}`, request};
  });
}

/**
 * The body of a layer request for what a person or a page asked for.
 * @param {string|object} choice "auto", a rid, a height like "720p", or the body itself
 */
export function layerRequest(choice, layers) {
  if (choice && typeof choice === 'object') return choice;
  const text = String(choice || 'auto');
  if (text === 'auto') return {};
  const named = layers.find((l) => l.rid === text);
  if (named) return named.request ?? {rid: text};
  const height = heightOf(text);
  if (!height) return {};
  const exact = layers.find((l) => l.height === height);
  return exact ? exact.request ?? {rid: exact.rid} : {maxHeight: height};
}

/** The height in a choice like "720p", 0 when it is another one. */
function heightOf(choice) {
  const match = /^(\d{2,4})p?$/.exec(String(choice));
  return match ? Number(match[1]) : 0;
}

/**
 * The layer that a choice stands for: the named one, or that of a height or the
 * best below it; undefined when it is automatic or none fits.
 */
export function chosenLayer(choice, layers) {
  const height = heightOf(choice);
  return layers.find((l) => l.rid === choice) || layers.find((l) => height && l.height && l.height <= height);
}

/** The height that a choice asks for, 0 when it is automatic or the height is not known yet. */
export function chosenHeight(choice, layers) {
  return chosenLayer(choice, layers)?.height || heightOf(choice);
}

/** "720p" or "720p60"; the rid when the size is not known yet. */
export function layerName(layer) {
  if (!layer.height) return layer.rid || '–';
  const fast = layer.fps > 45 ? Math.round(layer.fps / 10) * 10 : '';
  return `${layer.height}p${fast}`;
}
