// A refused request, as the pages and players see it.

/** Error of an HTTP answer (RFC 9457 body) or of the network (status 0). */
export class HttpError extends Error {
  /**
   * @param {number} status HTTP status, 0 when there was no answer
   * @param {string} code last path segment of the problem type, "" when unsaid
   * @param {string} detail text for people
   * @param {number} retryAfter milliseconds, 0 when unsaid
   */
  constructor(status, code, detail, retryAfter) {
    super(detail || code || `HTTP ${status}`);
    this.name = 'HttpError';
    this.status = status;
    this.code = code;
    this.retryAfter = retryAfter;
  }

  /** True when asking again later can help without anybody changing anything. */
  get temporary() {
    return this.status === 0 || this.status === 409 || this.status === 429 || this.status >= 500;
  }
}

/** Milliseconds of a Retry-After header: seconds or an HTTP date; 0 when absent. */
export function retryAfter(headers) {
  const value = headers.get('Retry-After');
  if (!value) return 0;
  const seconds = Number(value);
  if (Number.isFinite(seconds)) return Math.max(0, seconds * 1000);
  const at = Date.parse(value);
  return Number.isNaN(at) ? 0 : Math.max(0, at - Date.now());
}

/** Reads a failed Response into an HttpError. */
export async function problem(response) {
  let code = '';
  let detail = '';
  try {
    const body = JSON.parse(await response.text());
    code = String(body.type || '').split('/').pop();
    detail = String(body.detail || body.title || '');
  } catch {
    // Not a problem document: the status has to do.
  }
  return new HttpError(response.status, code, detail, retryAfter(response.headers));
}

/** fetch that throws HttpError(0) when no answer came. AbortError passes through. */
export const request = (url, options) => answered(fetch(url, options));

/** The body of an answer; throws HttpError(0) when that breaks off. AbortError passes through. */
export const bodyOf = (response) => answered(response.text());

async function answered(answer) {
  try {
    return await answer;
  } catch (err) {
    if (err.name === 'AbortError') throw err;
    throw new HttpError(0, 'network', String(err.message || err), 0);
  }
}

/**
 * Does work(signal) within ms, or throws HttpError(0), or the reason of the given signal when that
 * fires: a peer connection may leave its promises open for ever.
 */
export function within(ms, signal, work) {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(ms)]);
  const over = new Promise((_, reject) => {
    limit.addEventListener('abort', () => reject(signal.aborted ? signal.reason : new HttpError(0, 'network', '', 0)), {once: true});
  });
  return Promise.race([work(limit), over]);
}
