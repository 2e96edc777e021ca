// The cluster: its nodes with what they carry, and where the streams are.

import {allStreams, drainNode, listNodes, poll, undrainNode} from '../lib/api.js';
import {fill, h} from '../lib/dom.js';
import {pageParams} from '../lib/params.js';
import {t} from '../strings.js';
import {page} from './frame.js';

const POLL_MS = 3000;

const params = pageParams('cluster');
const nodes = h('div', {class: 'scroll', tabindex: '0', role: 'region', 'aria-labelledby': 'nodes'});
const streams = h('div', {class: 'scroll', tabindex: '0', role: 'region', 'aria-labelledby': 'streams'});
const unheard = h('p', {class: 'muted', role: 'status'});
const note = h('p', {class: 'muted', role: 'status'});

page('cluster', [
  h('h1', {class: 'cluster-head', text: t('cluster.title')}),
  note,
  h('h2', {class: 'cluster-head', id: 'nodes', text: t('cluster.nodes')}), nodes,
  h('h2', {class: 'cluster-head', id: 'streams', text: t('cluster.streams')}), unheard, streams,
]);
poll(POLL_MS, refresh);

async function refresh() {
  try {
    const all = await listNodes(params.token);
    drawNodes(all);
    await drawStreams();
    note.textContent = '';
  } catch (err) {
    const denied = err.status === 401 || err.status === 403;
    note.textContent = t(denied ? 'cluster.denied' : 'cluster.lost');
  }
}

function drawNodes(all) {
  const focused = document.activeElement?.dataset?.node;
  const columns = ['node', 'region', 'state', 'overload', 'cpu', 'egress', 'streams', 'viewers', 'relays', 'version', 'action'];
  fill(nodes, h('table', {},
    h('caption', {text: t(all.length === 1 ? 'cluster.one' : 'cluster.many', {n: all.length})}),
    h('thead', {}, h('tr', {}, columns.map((c) => h('th', {scope: 'col', text: t(`cluster.${c}`)})))),
    h('tbody', {}, all.map(row))));
  if (focused) nodes.querySelector(`button[data-node="${CSS.escape(focused)}"]`)?.focus();
}

function row(n) {
  const draining = n.state === 'draining';
  const percent = Math.round(100 * n.load.cpu);
  const button = h('button', {
    class: 'button', type: 'button', 'data-node': n.id, text: t(draining ? 'cluster.undrain' : 'cluster.drain'),
    'aria-label': t(draining ? 'cluster.undrainNode' : 'cluster.drainNode', {node: n.id}),
    on: {click: () => order(n, draining)},
  });
  return h('tr', {},
    h('th', {scope: 'row', text: n.id}),
    h('td', {text: n.region}),
    h('td', {class: draining ? 'bad' : '', text: t(`cluster.state.${n.state}`)}),
    h('td', {class: n.overload === 'none' ? '' : 'bad', text: t(`cluster.step.${n.overload}`)}),
    h('td', {}, h('span', {class: 'load'}, h('meter', {min: '0', max: '100', high: '80', value: String(Math.min(percent, 100)), 'aria-hidden': 'true'}), h('span', {text: `${percent} %`}))),
    h('td', {text: egress(n)}),
    h('td', {text: String(n.load.streams)}),
    h('td', {text: n.capacity.viewers ? `${n.load.viewers} / ${n.capacity.viewers}` : String(n.load.viewers)}),
    h('td', {text: String(n.load.relays)}),
    h('td', {text: n.version}),
    h('td', {}, button));
}

function egress(n) {
  const now = n.load.mbps.toFixed(1);
  return n.capacity.mbps ? `${now} / ${n.capacity.mbps} Mbit/s` : `${now} Mbit/s`;
}

async function order(n, draining) {
  try {
    await (draining ? undrainNode : drainNode)(n.id, params.token);
    await refresh();
    note.textContent = t(draining ? 'cluster.undrained' : 'cluster.drained', {node: n.id});
  } catch {
    note.textContent = t('cluster.refused', {node: n.id});
  }
}

async function drawStreams() {
  const {items, missing} = await allStreams(params.token);
  unheard.textContent = missing.length ? t('cluster.missing', {nodes: missing.join(', ')}) : '';
  const live = items.filter((s) => s.state !== 'offline');
  if (!live.length) {
    fill(streams, h('p', {class: 'cluster-note', text: t('cluster.noStreams')}));
    return;
  }
  fill(streams, h('table', {},
    h('caption', {text: t('cluster.streamsHint')}),
    h('thead', {}, h('tr', {}, ['stream', 'origin', 'edges', 'viewers'].map((c) => h('th', {scope: 'col', text: t(`cluster.${c}`)})))),
    h('tbody', {}, live.map((s) => h('tr', {},
      h('th', {scope: 'row'}, h('a', {href: `/watch/${encodeURIComponent(s.name)}`, text: s.name})),
      h('td', {text: s.origin || '–'}),
      h('td', {text: (s.edges || []).join(', ') || '–'}),
      h('td', {text: String(s.viewers)}))))));
}
