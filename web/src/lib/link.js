// Link headers (RFC 8288).

const PARAM = /;\s*([\w*!#$&+.^`|~-]+)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?/y;

/**
 * Splits a Link header into its links.
 * @returns {{url: string, params: Object<string, string>}[]}
 */
export function parseLinks(header, base) {
  const links = [];
  const text = header || '';
  let at = 0;
  for (;;) {
    const open = text.indexOf('<', at);
    const close = open < 0 ? -1 : text.indexOf('>', open);
    if (close < 0) return links;
    const params = {};
    PARAM.lastIndex = close + 1;
    at = close + 1;
    for (let m = PARAM.exec(text); m; m = PARAM.exec(text)) {
      params[m[1].toLowerCase()] = m[2] !== undefined ? m[2].replace(/\\(.)/g, '$1') : (m[3] || '');
      at = PARAM.lastIndex;
    }
    const url = resolve(text.slice(open + 1, close), base);
    if (url) links.push({url, params});
  }
}

function resolve(url, base) {
  if (/^(stun|turn)s?:/i.test(url)) return url;
  try {
    return new URL(url, base).href;
  } catch {
    return '';
  }
}

/** The first link of a relation, or undefined. */
export function linkOf(links, rel) {
  return links.find((l) => (l.params.rel || '').split(/\s+/).includes(rel));
}

/** RTCIceServer objects of the ice-server links. */
export function iceServers(links) {
  return links
    .filter((l) => l.params.rel === 'ice-server')
    .map((l) => ({
      urls: l.url,
      ...(l.params.username ? {username: l.params.username, credential: l.params.credential || ''} : {}),
    }));
}
