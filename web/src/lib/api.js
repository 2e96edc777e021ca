// The control API, as far as the pages need it.

import {problem, request} from './problem.js';
import {bearer} from './session.js';

async function get(path, token) {
  const response = await request(path, {headers: {Accept: 'application/json', ...bearer(token)}, cache: 'no-store'});
  if (!response.ok) throw await problem(response);
  return response.json();
}

async function all(path, token) {
  const items = [];
  const missing = new Set();
  for (let cursor = ''; ;) {
    const page = await get(`${path}?limit=1000&cursor=${encodeURIComponent(cursor)}`, token);
    items.push(...page.items);
    for (const node of page.missing || []) missing.add(node);
    cursor = page.nextCursor;
    if (!cursor) return {items, missing: [...missing]};
  }
}

/** Snapshots of the first streams of all nodes. Rejects with HttpError. */
export async function listStreams(token) {
  return (await get('/api/v1/streams', token)).items || [];
}

/** All streams, with origin and edges, as items, and the nodes that have not told theirs as missing. Rejects with HttpError. */
export function allStreams(token) {
  return all('/api/v1/streams', token);
}

/** Snapshot of one stream. Rejects with HttpError. */
export function getStream(name, token) {
  return get(`/api/v1/streams/${name}`, token);
}

/** All nodes of the cluster. Rejects with HttpError. */
export async function listNodes(token) {
  return (await all('/api/v1/nodes', token)).items;
}

/** Makes a node give up what it has. Rejects with HttpError. */
export function drainNode(id, token) {
  return post(`/api/v1/nodes/${encodeURIComponent(id)}/drain`, token);
}

/** Makes a node take new sessions again. Rejects with HttpError. */
export function undrainNode(id, token) {
  return post(`/api/v1/nodes/${encodeURIComponent(id)}/undrain`, token);
}

async function post(path, token) {
  const headers = {Accept: 'application/json', 'Content-Type': 'application/json', ...bearer(token)};
  const response = await request(path, {method: 'POST', headers, body: '{}', cache: 'no-store'});
  if (!response.ok) throw await problem(response);
}

/** Calls fn now and every ms while the page is visible, never twice at once. */
export function poll(ms, fn) {
  let timer = 0;
  const run = async () => {
    clearTimeout(timer);
    timer = 0;
    if (!document.hidden) await fn();
    if (!timer) timer = setTimeout(run, ms);
  };
  document.addEventListener('visibilitychange', () => !document.hidden && timer && run());
  run();
}
