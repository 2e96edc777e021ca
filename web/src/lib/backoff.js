// Waiting between attempts.

const STEPS_MS = [500, 1000, 2000, 4000, 5000];

/** Growing pauses with jitter, so that many clients do not come back together. */
export class Backoff {
  #step = 0;

  /** Milliseconds to wait now: what the server asked for, or the next step. */
  next(retryAfter = 0) {
    const step = STEPS_MS[Math.min(this.#step++, STEPS_MS.length - 1)];
    if (retryAfter > 0) return retryAfter * (1 + 0.1 * Math.random());
    return step * (0.75 + 0.5 * Math.random());
  }

  reset() {
    this.#step = 0;
  }
}

/** Resolves after ms; rejects with AbortError when the signal fires first. */
export function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, ms);
    signal?.addEventListener('abort', stop, {once: true});
  });
}
