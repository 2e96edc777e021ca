// A clock drawn into a picture, to measure glass to glass latency.
//
// The left square of the frame is a grid of 8 × 8 black and white blocks: 48
// bits of milliseconds since the epoch, then 16 bits of checksum, row by row.
// Blocks stay readable at 160 × 90.

const GRID = 8;
const TIME_BITS = 48;
const MODULUS = 65521; // largest prime below 2^16: catches torn frames

/** Milliseconds since the epoch with the resolution of performance.now. */
export function wallClock() {
  return performance.timeOrigin + performance.now();
}

function bits(ms) {
  const time = Math.round(ms);
  const sum = time % MODULUS;
  return Array.from({length: GRID * GRID}, (_, i) => {
    const [value, shift] = i < TIME_BITS ? [time, TIME_BITS - 1 - i] : [sum, GRID * GRID - 1 - i];
    return Math.floor(value / 2 ** shift) % 2;
  });
}

/** Draws the grid into the left square of a 2D context. */
export function drawClock(ctx, height, ms) {
  const block = height / GRID;
  bits(ms).forEach((bit, i) => {
    ctx.fillStyle = bit ? '#fff' : '#000';
    ctx.fillRect((i % GRID) * block, Math.floor(i / GRID) * block, block, block);
  });
}

/** The time in a drawn frame, or 0 when it cannot be read. */
export function readFrame(ctx, source, width, height) {
  ctx.drawImage(source, 0, 0, width, height);
  const {data} = ctx.getImageData(0, 0, height, height);
  const block = height / GRID;
  let time = 0;
  let sum = 0;
  for (let i = 0; i < GRID * GRID; i++) {
    const x = Math.floor(((i % GRID) + 0.5) * block);
    const y = Math.floor((Math.floor(i / GRID) + 0.5) * block);
    const bit = data[4 * (y * height + x) + 1] > 127 ? 1 : 0;
    if (i < TIME_BITS) time = time * 2 + bit;
    else sum = sum * 2 + bit;
  }
  return time % MODULUS === sum ? time : 0;
}

/** A 720p track that shows the clock beside something that moves. */
export function clockStream({width = 1280, height = 720, fps = 30} = {}) {
  const canvas = document.createElement('canvas');
  canvas.width = width;
  canvas.height = height;
  const ctx = canvas.getContext('2d', {alpha: false});
  let last = 0;
  let handle = 0;
  const paint = (now) => {
    handle = requestAnimationFrame(paint);
    if (now - last < 1000 / fps - 4) return;
    last = now;
    drawScene(ctx, width, height, now);
    drawClock(ctx, height, wallClock());
  };
  handle = requestAnimationFrame(paint);
  const stream = canvas.captureStream(fps);
  const [track] = stream.getVideoTracks();
  const stop = track.stop.bind(track);
  track.stop = () => {
    cancelAnimationFrame(handle);
    stop();
  };
  return stream;
}

function drawScene(ctx, width, height, now) {
  const left = height;
  ctx.fillStyle = '#101826';
  ctx.fillRect(left, 0, width - left, height);
  for (let i = 0; i < 12; i++) {
    const phase = now / 900 + i * 0.7;
    ctx.fillStyle = `hsl(${(i * 30 + now / 40) % 360} 70% 55%)`;
    ctx.fillRect(left + ((i * 47 + now / 8) % (width - left - 60)), height / 2 + Math.sin(phase) * height * 0.35, 60, 60);
  }
  ctx.fillStyle = '#fff';
  ctx.font = '600 48px system-ui, sans-serif';
  ctx.fillText(new Date().toISOString().slice(11, 23), left + 40, 80);
}
