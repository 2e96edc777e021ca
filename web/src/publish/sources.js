// Where pictures and sound come from.

import {clockStream} from '../lib/clock.js';

/** Sizes offered, by height. */
export const SIZES = {1080: [1920, 1080], 720: [1280, 720], 480: [854, 480], 360: [640, 360]};

/**
 * Opens a source. Rejects with the browser's DOMException.
 * @param {{source: string, camera: string, mic: string, voice: boolean, height: number, fps: number}} s
 * @returns {Promise<MediaStream>}
 */
export async function openSource(s) {
  if (s.source === 'clock') return withTone(clockStream({width: SIZES[s.height][0], height: s.height, fps: s.fps}));
  if (!navigator.mediaDevices) throw new DOMException('no media devices', 'InsecureError');
  const stream = s.source === 'screen' ? await openScreen(s) : await openCamera(s);
  for (const track of stream.getVideoTracks()) track.contentHint = s.source === 'screen' ? 'detail' : 'motion';
  return stream;
}

function videoSize({height, fps}) {
  const [width] = SIZES[height];
  return {width: {ideal: width}, height: {ideal: height}, frameRate: {ideal: fps}};
}

function audioOf({mic, voice}) {
  if (mic === 'none') return false;
  return {
    ...(mic ? {deviceId: {exact: mic}} : {}),
    echoCancellation: voice, noiseSuppression: voice, autoGainControl: voice, channelCount: {ideal: 2},
  };
}

async function openCamera(s) {
  const video = {...videoSize(s), ...(s.camera ? {deviceId: {exact: s.camera}} : {})};
  try {
    return await navigator.mediaDevices.getUserMedia({video, audio: audioOf(s)});
  } catch (err) {
    // A remembered device is gone: any other will do.
    if (err.name !== 'OverconstrainedError' && !(err.name === 'NotFoundError' && s.mic !== 'none')) throw err;
    const any = s.camera || s.mic ? {...s, camera: '', mic: s.mic === 'none' ? 'none' : ''} : {...s, mic: 'none'};
    if (any.camera === s.camera && any.mic === s.mic) throw err;
    return openCamera(any);
  }
}

async function openScreen(s) {
  const screen = await navigator.mediaDevices.getDisplayMedia({video: videoSize(s), audio: true});
  if (screen.getAudioTracks().length || s.mic === 'none') return screen;
  try {
    const mic = await navigator.mediaDevices.getUserMedia({audio: audioOf(s)});
    screen.addTrack(mic.getAudioTracks()[0]);
  } catch {
    // A screen without sound is still worth showing.
  }
  return screen;
}

/** Adds a quiet tone, so that the test stream has sound like a real one. */
function withTone(stream) {
  const context = new AudioContext();
  const tone = context.createOscillator();
  const gain = context.createGain();
  const out = context.createMediaStreamDestination();
  gain.gain.value = 0.05;
  tone.connect(gain).connect(out);
  tone.start();
  context.resume().catch(() => {});
  const [track] = out.stream.getAudioTracks();
  stream.addTrack(track);
  const stop = track.stop.bind(track);
  track.stop = () => {
    stop();
    context.close().catch(() => {});
  };
  for (const video of stream.getVideoTracks()) video.contentHint = 'motion';
  return stream;
}

/** Cameras and microphones; labels are empty until access is allowed. */
export async function listDevices() {
  const all = (await navigator.mediaDevices?.enumerateDevices()) || [];
  return {cameras: all.filter((d) => d.kind === 'videoinput'), mics: all.filter((d) => d.kind === 'audioinput')};
}

/** True when the camera opens without a question. */
export async function alreadyAllowed() {
  try {
    return (await navigator.permissions.query({name: 'camera'})).state === 'granted';
  } catch {
    return false;
  }
}
