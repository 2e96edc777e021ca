// Where a stream can be watched: the endpoint that was asked for, and those that servers named for when they die.

import {bearer} from './session.js';

const BACKUP_REL = 'urn:sluice:whep:ext:backup-endpoint';
const MOST = 8; // endpoints remembered

/** An ordered list of WHEP endpoints, the one to use first. */
export class Places {
  #all;

  constructor(url) {
    this.#all = [url];
  }

  get first() {
    return this.#all[0];
  }

  get size() {
    return this.#all.length;
  }

  /** A session was made at an endpoint; `links` are those of its answer. */
  opened(url, links) {
    const backups = links.filter((l) => (l.params.rel || '').split(/\s+/).includes(BACKUP_REL)).map((l) => l.url);
    const known = [url, ...backups.filter((b) => /^https?:/.test(b)), ...this.#all];
    this.#all = [...new Set(known)].slice(0, MOST);
  }

  /** An endpoint does not answer: the others come before it. */
  failed(url) {
    this.#all = [...this.#all.filter((p) => p !== url), url];
  }
}

/** Tells the node of an endpoint that another one cannot be reached, by any URL of that. Nothing depends on the answer. */
export async function reportUnreachable(endpoint, lost, token) {
  const match = /^(.*)\/whep\/([\w-]+)$/.exec(endpoint.split(/[?#]/)[0]);
  if (!match || new URL(lost).origin === new URL(endpoint).origin) return;
  const body = JSON.stringify({url: lost, stream: match[2]});
  await fetch(`${match[1]}/api/v1/nodes/unreachable`, {method: 'POST', headers: {'Content-Type': 'application/json', ...bearer(token)}, body}).catch(() => {});
}
