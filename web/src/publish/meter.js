// The microphone meter.

import {h} from '../lib/dom.js';
import {t} from '../strings.js';

const EVERY_MS = 80;

/** A bar that follows the loudness of a stream. */
export class MicMeter {
  #context = null;
  #timer = 0;

  constructor() {
    this.element = h('meter', {class: 'mic', min: '0', max: '1', low: '0.05', high: '0.9', optimum: '0.5', 'aria-label': t('publish.level')});
    this.element.value = 0;
  }

  /** Follows another stream; null stops. */
  follow(stream) {
    clearInterval(this.#timer);
    this.#context?.close().catch(() => {});
    this.#context = null;
    this.element.value = 0;
    if (!stream?.getAudioTracks().length) return;
    this.#context = new AudioContext();
    const analyser = this.#context.createAnalyser();
    analyser.fftSize = 1024;
    this.#context.createMediaStreamSource(new MediaStream(stream.getAudioTracks())).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    this.#timer = setInterval(() => this.#measure(analyser, samples), EVERY_MS);
  }

  #measure(analyser, samples) {
    analyser.getFloatTimeDomainData(samples);
    const power = samples.reduce((sum, x) => sum + x * x, 0) / samples.length;
    const db = 10 * Math.log10(power + 1e-10);
    const level = Math.min(1, Math.max(0, (db + 60) / 60)); // -60 dB to full scale
    this.element.value = Math.max(level, this.element.value * 0.85);
  }
}
