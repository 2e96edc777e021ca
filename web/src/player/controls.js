// The bar of controls below the picture.

import {fill, h, icon} from '../lib/dom.js';
import {icons} from '../lib/icons.js';
import {t} from '../strings.js';

function control(name, key, onClick, hidden = false) {
  const label = t(`player.${name}`);
  return h('button', {
    class: `control ${name}`, type: 'button', 'aria-label': label, title: `${label} (${key})`, hidden,
    on: {click: onClick},
  }, icon(pictureOf(name)));
}

/** The picture of a control: sound has that of how it is, the others of what they do. */
function pictureOf(name) {
  return icons[{mute: 'volume', unmute: 'muted'}[name] || name];
}

function show(button, name, key) {
  const label = t(`player.${name}`);
  if (button.getAttribute('aria-label') === label) return;
  button.setAttribute('aria-label', label);
  button.title = `${label} (${key})`;
  fill(button, icon(pictureOf(name)));
}

/** `actions`: togglePlay, toggleMute, setVolume, toggleStats, togglePip, toggleFullscreen, toggleHelp. */
export class Controls {
  constructor(actions, menu, timeline) {
    this.play = control('play', 'k', actions.togglePlay);
    this.mute = control('mute', 'm', actions.toggleMute);
    this.volume = h('input', {
      class: 'volume', type: 'range', min: '0', max: '1', step: '0.05', 'aria-label': t('player.volume'),
      on: {input: () => actions.setVolume(Number(this.volume.value))},
    });
    this.stats = control('stats', 'i', actions.toggleStats);
    this.pip = control('pip', 'p', actions.togglePip, !document.pictureInPictureEnabled);
    this.fullscreen = control('fullscreen', 'f', actions.toggleFullscreen, !document.fullscreenEnabled);
    this.help = control('help', '?', actions.toggleHelp);
    this.element = h('div', {class: 'bar', role: 'group', 'aria-label': t('player.label')},
      timeline.element, this.play, this.mute, this.volume, h('span', {class: 'space'}), menu.element, this.stats, this.help, this.pip, this.fullscreen);
  }

  update(video, {stats, fullscreen}) {
    show(this.play, video.paused ? 'play' : 'pause', 'k');
    show(this.mute, video.muted || video.volume === 0 ? 'unmute' : 'mute', 'm');
    this.volume.value = String(video.muted ? 0 : video.volume);
    this.stats.setAttribute('aria-pressed', String(stats));
    show(this.fullscreen, fullscreen ? 'exitFullscreen' : 'fullscreen', 'f');
  }
}

/** Whether the browser refuses to play. What it allows is no longer paused, though play() answers only when there is media. */
async function refused(video) {
  const started = video.play().then(() => false, (err) => err.name === 'NotAllowedError');
  return video.paused && started;
}

/**
 * Plays, without sound where the browser refuses it with sound.
 * @returns {Promise<''|'sound'|'all'>} what the browser refused
 */
export async function startPlaying(video) {
  if (!(await refused(video))) return '';
  if (video.muted) return 'all';
  video.muted = true;
  return (await refused(video)) ? 'all' : 'sound';
}
