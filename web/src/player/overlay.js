// The statistics overlay.

import {fill, h} from '../lib/dom.js';
import {bitrate, milliseconds} from '../lib/format.js';
import {t} from '../strings.js';

/** A table over the picture. */
export class StatsOverlay {
  constructor() {
    this.list = h('dl', {class: 'stats-list'});
    this.element = h('section', {class: 'stats-overlay', 'aria-label': t('player.stats'), hidden: true}, this.list);
  }

  get open() {
    return !this.element.hidden;
  }

  toggle(on = !this.open) {
    this.element.hidden = !on;
  }

  update(stats, latency) {
    if (!this.open) return;
    const rows = rowsOf(stats, latency).filter(([, value]) => value);
    fill(this.list, rows.flatMap(([name, value]) => [h('dt', {text: name}), h('dd', {text: value})]));
  }
}

function rowsOf(stats, latency) {
  const {video, audio} = stats || {};
  const how = latency && t(latency.measured ? 'stats.measured' : 'stats.estimated');
  return [
    [t('stats.latency'), latency && `${milliseconds(latency.ms)} (${how})`],
    ...(video ? videoRows(video) : []),
    [t('stats.audio'), audio && `${audio.codec} ${bitrate(audio.bitrate)}`],
    [t('stats.rtt'), stats?.rtt != null && milliseconds(stats.rtt)],
    [t('stats.path'), stats?.transport],
  ];
}

function videoRows(v) {
  return [
    [t('stats.video'), v.width && `${v.codec} ${v.width}×${v.height} @ ${Math.round(v.fps)}`],
    [t('stats.rate'), bitrate(v.bitrate)],
    [t('stats.frames'), t('stats.framesValue', v)],
    [t('stats.loss'), t('stats.lossValue', {percent: (100 * v.loss).toFixed(1), lost: v.lost})],
    [t('stats.buffer'), t('stats.bufferValue', {buffer: Math.round(v.bufferMs), jitter: v.jitterMs.toFixed(1)})],
    [t('stats.decode'), `${v.decodeMs.toFixed(1)} ms`],
    [t('stats.repair'), t('stats.repairValue', v)],
  ];
}
