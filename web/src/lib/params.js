// The pages' query parameters and what they keep in the browser.

import {setLanguage} from '../strings.js';

/** Reads a switch: absent gives the default; "false", "0", "no" and "off" are off. */
export function flag(value, fallback) {
  if (value === null || value === undefined) return fallback;
  return !['false', '0', 'no', 'off'].includes(String(value).toLowerCase());
}

/** Name of the stream in the path /<page>/{stream}. */
export function streamName() {
  return decodeURIComponent(location.pathname.split('/')[2] || '');
}

/** True for 1 to 64 of [A-Za-z0-9_-]. */
export function validName(name) {
  return /^[A-Za-z0-9_-]{1,64}$/.test(name);
}

/**
 * The query parameters, once. A token is taken out of the address bar, so that
 * it is neither shared nor logged, and kept for this tab.
 */
export function pageParams(scope) {
  const url = new URL(location.href);
  const query = url.searchParams;
  const {lang, dir} = setLanguage(query.get('lang') || navigator.language);
  document.documentElement.lang = lang;
  document.documentElement.dir = dir;
  const key = `sluice.token.${scope}`;
  if (query.has('token')) {
    keep(tab, key, query.get('token'));
    query.delete('token');
    history.replaceState(null, '', url);
  }
  return {query, token: kept(tab, key) || '', saveToken: (token) => keep(tab, key, token)};
}

/** A setting that outlives the page; "" when there is none or storage is refused. */
export function setting(name, value) {
  if (value === undefined) return kept(browser, `sluice.${name}`) || '';
  keep(browser, `sluice.${name}`, value);
  return value;
}

// Thunks: with storage refused, naming it throws already.
const tab = () => sessionStorage;
const browser = () => localStorage;

function kept(store, key) {
  try {
    return store().getItem(key);
  } catch {
    return null;
  }
}

function keep(store, key, value) {
  try {
    store().setItem(key, value);
  } catch {
    // Private mode or a full disk: the setting lasts as long as the page.
  }
}
