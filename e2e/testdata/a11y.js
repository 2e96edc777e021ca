// Basic accessibility checks of a page, shadow roots included. Evaluates to a
// list of what is wrong. Colours on their way count as where they go.
(() => {
  for (const a of document.getAnimations()) if (a instanceof CSSTransition) a.finish();
  const wrong = [];
  const all = [];
  const collect = (root) => {
    for (const el of root.querySelectorAll('*')) {
      all.push(el);
      if (el.shadowRoot) collect(el.shadowRoot);
    }
  };
  collect(document);
  const parent = (el) => el.assignedSlot || el.parentElement || el.getRootNode().host || null;
  const shown = (el) => el.checkVisibility({opacityProperty: true, visibilityProperty: true}) && el.getClientRects().length > 0;
  const describe = (el) => `<${el.localName} class="${el.getAttribute('class') || ''}"> ${(el.textContent || '').trim().slice(0, 40)}`;

  const name = (el) => {
    const root = el.getRootNode();
    const by = (el.getAttribute('aria-labelledby') || '').split(/\s+/).filter(Boolean).map((id) => root.getElementById(id)?.textContent || '').join(' ');
    const labels = el.labels ? [...el.labels].map((l) => l.textContent).join(' ') : '';
    return (el.getAttribute('aria-label') || by || labels || el.textContent || '').trim();
  };
  const interactive = all.filter((el) => el.matches('button, a[href], input, select, textarea, [tabindex="0"]') && shown(el));
  for (const el of interactive) {
    if (!name(el)) wrong.push(`no accessible name: ${describe(el)}`);
    const {width, height} = el.getBoundingClientRect();
    if (el.matches('button, select, input:not([type=range])') && (width < 44 || height < 44)) {
      wrong.push(`target of ${Math.round(width)}×${Math.round(height)}: ${describe(el)}`);
    }
  }
  const seen = new Map();
  for (const el of all) {
    const key = el.id && [el.id, el.getRootNode()];
    if (!key) continue;
    const roots = seen.get(el.id) || [];
    if (roots.includes(key[1])) wrong.push(`id twice: ${el.id}`);
    seen.set(el.id, [...roots, key[1]]);
  }
  if (!document.documentElement.lang) wrong.push('no language');
  if (!document.title) wrong.push('no title');

  const parse = (color) => {
    const n = (color.match(/[\d.]+/g) || []).map(Number);
    return {r: n[0] || 0, g: n[1] || 0, b: n[2] || 0, a: n.length > 3 ? n[3] : color === 'transparent' ? 0 : 1};
  };
  const over = (top, under) => ({
    r: top.r * top.a + under.r * (1 - top.a), g: top.g * top.a + under.g * (1 - top.a), b: top.b * top.a + under.b * (1 - top.a), a: 1,
  });
  const background = (el) => {
    const layers = [];
    for (let e = el; e; e = parent(e)) {
      const style = getComputedStyle(e);
      const color = parse(style.backgroundColor);
      if (color.a > 0) layers.push(color);
      if (color.a === 1) break;
    }
    return layers.reverse().reduce((under, top) => over(top, under), {r: 10, g: 13, b: 19, a: 1});
  };
  const luminance = ({r, g, b}) => {
    const [x, y, z] = [r, g, b].map((v) => (v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  for (const el of all) {
    const text = [...el.childNodes].some((n) => n.nodeType === Node.TEXT_NODE && n.data.trim());
    if (!text || !shown(el) || el.matches('script, style, option, :disabled, noscript, noscript *')) continue;
    const style = getComputedStyle(el);
    const under = background(el);
    const [hi, lo] = [luminance(over(parse(style.color), under)), luminance(under)].sort((a, b) => b - a);
    const ratio = (hi + 0.05) / (lo + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) wrong.push(`contrast ${ratio.toFixed(2)}: ${describe(el)}`);
  }
  return wrong;
})()
