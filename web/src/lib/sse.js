// Server-sent events over fetch, because EventSource cannot send a bearer token.

import {problem, request} from './problem.js';

/** Turns text chunks into events. Feed it decoded text. */
export class EventParser {
  #rest = '';
  #event = '';
  #data = [];
  #id = '';

  /** @returns {{event: string, data: string, id: string}[]} events that are complete now */
  push(text) {
    const events = [];
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    for (const line of lines) {
      if (line === '') this.#dispatch(events);
      else this.#field(line);
    }
    return events;
  }

  #field(line) {
    const colon = line.indexOf(':');
    if (colon === 0) return;
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (name === 'event') this.#event = value;
    else if (name === 'data') this.#data.push(value);
    else if (name === 'id') this.#id = value;
  }

  #dispatch(events) {
    if (this.#data.length) events.push({event: this.#event || 'message', data: this.#data.join('\n'), id: this.#id});
    this.#event = '';
    this.#data = [];
  }
}

/**
 * Makes an event stream (POST, then GET of its Location) and reads it until it ends.
 * @param {(event: string, data: any) => void} onEvent data is parsed JSON
 * @returns {Promise<void>} resolves when the server ends it; rejects with HttpError or AbortError
 */
export async function readEvents(url, types, {headers, signal, onEvent}) {
  const made = await request(url, {
    method: 'POST',
    headers: {'Content-Type': 'application/json', ...headers},
    body: JSON.stringify(types),
    signal,
  });
  if (!made.ok) throw await problem(made);
  const location = made.headers.get('Location');
  await follow(location ? new URL(location, url).href : url, {headers, signal, onEvent});
}

/** Reads an event stream until it ends, see readEvents. */
export async function follow(url, {headers, signal, onEvent}) {
  const response = await request(url, {headers: {Accept: 'text/event-stream', ...headers}, cache: 'no-store', signal});
  if (!response.ok) throw await problem(response);
  const parser = new EventParser();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const {value, done} = await reader.read();
    if (done) return;
    for (const {event, data} of parser.push(value)) onEvent(event, parse(data));
  }
}

function parse(data) {
  try {
    return JSON.parse(data);
  } catch {
    return null;
  }
}
