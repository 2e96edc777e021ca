// ChatPanel: the room on the page. Texts of members become text nodes, nothing
// else.

import {fill, h, icon} from '../lib/dom.js';
import {duration} from '../lib/format.js';
import {icons} from '../lib/icons.js';
import {t} from '../strings.js';
import {banDialog} from './ban.js';

const NEAR = 48; // pixels from the end that count as the end
const SHOWN = 300; // messages on the page while it follows the end
const MAX_TEXT = 500;
const SLOW = [0, 5, 15, 30, 60, 300];

export class ChatPanel {
  #client;
  #locked = false; // the reader looks at older messages
  #unread = 0;
  #rows = new Map(); // id or ref to element
  #loading = false;
  #drawing = 0;
  #replay = null; // what is shown instead of the room
  #live = false; // the reader wants the room all the same
  #recorded;

  /** @param {object} options recorded: there is no room, only replays */
  constructor(client, {recorded = false} = {}) {
    this.#client = client;
    this.#recorded = recorded;
    this.list = h('ol', {class: 'chat-list', role: 'log', 'aria-live': 'polite', 'aria-label': t('chat.log'), tabindex: '0'});
    this.unread = h('button', {type: 'button', class: 'chat-unread', hidden: true, on: {click: () => this.#toEnd()}});
    this.status = h('p', {class: 'chat-status', role: 'status', text: t('chat.connecting')});
    this.input = h('input', {class: 'input', type: 'text', id: 'chat-text', autocomplete: 'off', enterkeyhint: 'send', placeholder: t('chat.say'), dir: 'auto'});
    this.button = h('button', {type: 'submit', class: 'button primary', 'aria-label': t('chat.send')}, icon(icons.send));
    this.slow = h('select', {class: 'chat-slow', 'aria-label': t('chat.slow'), hidden: true, on: {change: () => client.setSlow(Number(this.slow.value))}},
      SLOW.map((s) => h('option', {value: String(s), text: s ? t('chat.slowOn', {n: s}) : t('chat.slowOff')})));
    this.form = h('form', {class: 'chat-form', hidden: recorded, on: {submit: (ev) => this.#submit(ev)}},
      h('label', {class: 'sr', for: 'chat-text', text: t('chat.say')}), this.input, this.button);
    this.dialog = banDialog((user, seconds, reason) => client.ban(user, seconds, reason));
    this.element = h('section', {class: 'chat', 'aria-labelledby': 'chat-title'},
      h('header', {class: 'chat-head'}, h('h2', {id: 'chat-title', text: t('chat.title')}), h('span', {class: 'space'}), this.slow),
      h('div', {class: 'chat-body'}, this.list, this.unread),
      this.status, this.form, this.dialog.element);
    this.list.addEventListener('scroll', () => this.#scrolled(), {passive: true});
    this.#listen();
    this.#draw();
  }

  #listen() {
    const c = this.#client;
    c.addEventListener('change', () => this.#later());
    c.addEventListener('message', ({detail}) => {
      if (this.#locked && !detail.mine) this.#unread++;
    });
    c.addEventListener('slow', () => this.#later());
    c.addEventListener('banned', ({detail}) => this.#banned(detail));
    c.addEventListener('refused', ({detail}) => this.#say(t(`chat.error.${detail.code}`)));
  }

  /** Shows a replay instead of the room; null for the room again. */
  replay(replay) {
    if (!replay) this.#live = false;
    if (replay === this.#replay) return;
    this.#replay?.removeEventListener('change', this.#replayed);
    this.#replay = replay;
    replay?.addEventListener('change', this.#replayed);
    this.#toEnd();
  }

  #replayed = () => this.#later();

  /** The replay, while it is what is shown. */
  get #past() {
    return this.#live ? null : this.#replay;
  }

  /** Draws once for all changes of a moment. */
  #later() {
    this.#drawing ||= requestAnimationFrame(() => {
      this.#drawing = 0;
      this.#draw();
    });
  }

  #submit(ev) {
    ev.preventDefault();
    const text = this.input.value.trim();
    if (!text) return;
    if ([...text].length > MAX_TEXT) return this.#say(t('chat.error.too_long'));
    this.input.value = '';
    this.#client.send(text);
    this.#toEnd();
  }

  #draw() {
    const c = this.#client;
    const {messages} = this.#past || c;
    const shown = this.#locked ? messages : messages.slice(-SHOWN);
    const rows = new Map();
    for (const m of shown) rows.set(m.id, this.#rows.get(m.id) || this.#row(m));
    if (!this.#past) for (const p of c.pending) rows.set(p.ref, this.#pendingRow(p));
    const height = this.list.scrollHeight;
    const top = this.list.scrollTop;
    this.#place([...rows.values()]);
    this.#rows = rows;
    if (!this.#locked) this.list.scrollTop = this.list.scrollHeight;
    else if (this.#loading && this.list.scrollHeight !== height) {
      this.list.scrollTop = top + this.list.scrollHeight - height;
      this.#loading = false;
    }
    this.unread.hidden = !this.#locked;
    this.unread.textContent = this.#unread && !this.#past ? t('chat.unread', {n: this.#unread}) : t('chat.toEnd');
    this.#controls();
  }

  /** Makes the list hold these rows, touching no more than what changed: the log is read aloud. */
  #place(rows) {
    const wanted = new Set(rows);
    for (const el of [...this.list.children]) if (!wanted.has(el)) el.remove();
    rows.forEach((el, i) => {
      if (this.list.children[i] !== el) this.list.insertBefore(el, this.list.children[i] || null);
    });
  }

  #controls() {
    const c = this.#client;
    const may = c.write || !c.connected;
    this.input.disabled = !may;
    this.button.disabled = !may;
    this.slow.hidden = !c.moderates;
    if (!SLOW.includes(c.slow)) {
      SLOW.push(c.slow);
      this.slow.append(h('option', {value: String(c.slow), text: t('chat.slowOn', {n: c.slow})}));
    }
    this.slow.value = String(c.slow);
    this.element.dataset.transport = c.transport;
    this.element.dataset.connected = String(c.connected);
    this.element.dataset.replay = String(Boolean(this.#past));
    this.form.hidden = this.#recorded || Boolean(this.#past);
    if (this.#replay || this.#recorded) return this.#replayNote();
    this.switch = null;
    let text = '';
    if (!c.connected) text = t(c.user ? 'chat.reconnecting' : 'chat.connecting');
    else if (!may) text = t('chat.readOnly');
    else if (c.slow && !c.moderates) text = t('chat.slowNote', {n: c.slow});
    if (this.steady !== text) this.#say((this.steady = text));
  }

  /** Says whose chat is shown, and offers the other. */
  #replayNote() {
    const past = this.#recorded || this.#past;
    this.steady = null;
    if (this.switch === past) return;
    this.switch = past;
    fill(this.status, t(past ? 'chat.past' : 'chat.now'), ' ',
      !this.#recorded && h('button', {type: 'button', class: 'chat-link', text: t(past ? 'chat.toNow' : 'chat.toPast'), on: {click: () => {
        this.#live = !this.#live;
        this.#toEnd();
      }}}));
  }

  #say(text) {
    this.status.textContent = text;
  }

  #row(m) {
    const mine = m.user.id === this.#client.user?.id;
    const badge = m.user.role !== 'viewer' && h('span', {class: 'chat-badge', 'data-role': m.user.role, text: t(`chat.role.${m.user.role}`)});
    const tools = (this.#client.moderates || mine) && h('span', {class: 'chat-tools'},
      tool('chat.delete', icons.trash, () => this.#client.delete(m.id)),
      this.#client.moderates && !mine && m.user.role === 'viewer' && tool('chat.ban', icons.ban, () => this.dialog.open(m.user)));
    return h('li', {class: 'chat-row', 'data-id': m.id},
      h('time', {datetime: m.at, text: this.#recorded ? duration(1000 * m.offset) : clock(m.at)}), ' ', badge,
      h('bdi', {class: 'chat-name', 'data-hue': String(hue(m.user.id)), text: m.user.name}), ' ',
      h('span', {class: 'chat-text', dir: 'auto', text: m.text}), tools);
  }

  #pendingRow(p) {
    const known = this.#rows.get(p.ref);
    if (known?.dataset.state === p.state) return known;
    const failed = p.state === 'failed';
    return h('li', {class: 'chat-row', 'data-state': p.state},
      h('bdi', {class: 'chat-name', text: this.#client.user?.name || ''}), ' ', h('span', {class: 'chat-text', dir: 'auto', text: p.text}),
      failed && h('span', {class: 'chat-failed'}, t(`chat.error.${p.reason}`), ' ',
        h('button', {type: 'button', class: 'chat-link', text: t('chat.retry'), on: {click: () => this.#client.retry(p.ref)}}), ' ',
        h('button', {type: 'button', class: 'chat-link', text: t('chat.discard'), on: {click: () => this.#client.discard(p.ref)}})));
  }

  #banned({user, seconds}) {
    const c = this.#client;
    if (user === c.user?.id) return this.#say(t(seconds ? 'chat.youBanned' : 'chat.youUnbanned'));
    if (!c.moderates) return;
    const name = c.messages.findLast((m) => m.user.id === user)?.user.name || user;
    fill(this.status, t(seconds ? 'chat.wasBanned' : 'chat.wasUnbanned', {name}), ' ',
      seconds > 0 && h('button', {type: 'button', class: 'chat-link', text: t('chat.unban'), on: {click: () => c.unban(user)}}));
  }

  #scrolled() {
    const {scrollTop, scrollHeight, clientHeight} = this.list;
    const locked = scrollHeight - scrollTop - clientHeight > NEAR;
    if (!locked) this.#unread = 0;
    if (locked !== this.#locked) {
      this.#locked = locked;
      this.#later();
    }
    if (locked && scrollTop < NEAR && !this.#past && this.#client.more && !this.#loading && this.#client.connected) {
      this.#loading = true;
      this.#client.older();
    }
  }

  #toEnd() {
    this.#locked = false;
    this.#unread = 0;
    this.#draw();
  }
}

function tool(label, path, click) {
  return h('button', {type: 'button', class: 'chat-tool', 'aria-label': t(label), title: t(label), on: {click}}, icon(path));
}

function clock(at) {
  const d = new Date(at);
  return `${String(d.getHours()).padStart(2, '0')}:${String(d.getMinutes()).padStart(2, '0')}`;
}

/** One of twelve colours for an id. */
function hue(id) {
  let sum = 0;
  for (const c of id) sum = (sum * 31 + c.codePointAt(0)) % 9973;
  return sum % 12;
}
