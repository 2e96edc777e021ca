// The button over the picture for what browsers leave to a person: to play, or to play with sound.

import {fill, h, icon} from '../lib/dom.js';
import {icons} from '../lib/icons.js';
import {t} from '../strings.js';

/** `onTap` plays, with sound. */
export class Tap {
  constructor(onTap) {
    this.element = h('button', {class: 'big', type: 'button', hidden: true, on: {click: onTap}});
  }

  /** Is there when `video` should play and does not, or plays without sound. */
  update(video, shouldPlay) {
    const {paused, muted} = video;
    this.element.hidden = !shouldPlay || (!paused && !muted);
    const [label, name] = paused ? ['player.tapPlay', 'play'] : ['player.tapUnmute', 'muted'];
    this.element.dataset.kind = name;
    if (!this.element.hidden && this.element.textContent !== t(label)) fill(this.element, icon(icons[name]), h('span', {text: t(label)}));
  }
}

/** What to say when the browser has refused "all" or "sound". */
export const refusal = (what) => t(what === 'all' ? 'player.tapPlay' : 'player.tapUnmute');
