// Building elements without markup strings.

const SVG = 'http://www.w3.org/2000/svg';

/**
 * An element. Props: `class`, `text`, `on` (listeners), properties of the
 * element that are booleans, and attributes for the rest. Children that are
 * null or false are left out.
 */
export function h(tag, props = {}, ...children) {
  const el = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) apply(el, key, value);
  el.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== false));
  return el;
}

function apply(el, key, value) {
  if (value === null || value === undefined) return;
  if (key === 'text') el.textContent = value;
  else if (key === 'on') Object.entries(value).forEach(([type, fn]) => el.addEventListener(type, fn));
  else if (typeof value === 'boolean' && key in el) el[key] = value;
  else if (typeof value === 'boolean') el.toggleAttribute(key, value);
  else el.setAttribute(key, value);
}

/** An icon: paths in a 24 × 24 box, drawn in the text colour, hidden from readers. */
export function icon(paths) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', 'true');
  svg.setAttribute('focusable', 'false');
  for (const d of [paths].flat()) {
    const path = document.createElementNS(SVG, 'path');
    path.setAttribute('d', d);
    svg.append(path);
  }
  return svg;
}

/** Replaces an element's children. */
export function fill(el, ...children) {
  el.replaceChildren(...children.flat().filter((c) => c !== null && c !== undefined && c !== false));
  return el;
}
