// The dialog that asks how long a user may not write.

import {h} from '../lib/dom.js';
import {t} from '../strings.js';

const TIMES = [[60, 'chat.minute'], [600, 'chat.minutes'], [3600, 'chat.hour'], [86400, 'chat.day'], [0, 'chat.forever']];

/** @param {(user: string, seconds: number, reason: string) => void} ban */
export function banDialog(ban) {
  let user = null;
  const name = h('bdi', {});
  const time = h('select', {id: 'ban-time'}, TIMES.map(([s, key]) => h('option', {value: String(s), text: t(key)})));
  const reason = h('input', {class: 'input', id: 'ban-reason', maxlength: '200', autocomplete: 'off'});
  const element = h('dialog', {class: 'chat-dialog', 'aria-labelledby': 'ban-title'},
    h('form', {method: 'dialog', on: {submit: (ev) => ev.submitter?.value === 'ban' && ban(user.id, Number(time.value), reason.value)}},
      h('h3', {id: 'ban-title'}, t('chat.banTitle'), ' ', name),
      h('div', {class: 'field'}, h('label', {for: 'ban-time', text: t('chat.banTime')}), time),
      h('div', {class: 'field'}, h('label', {for: 'ban-reason', text: t('chat.banReason')}), reason),
      h('div', {class: 'chat-buttons'},
        h('button', {type: 'submit', class: 'button', value: 'cancel', text: t('chat.cancel')}),
        h('button', {type: 'submit', class: 'button danger', value: 'ban', text: t('chat.ban')}))));
  const open = (of) => {
    user = of;
    name.textContent = of.name;
    time.value = '600';
    reason.value = '';
    element.showModal();
  };
  return {element, open};
}
