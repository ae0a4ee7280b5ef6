// The slot map: a cell per slot, by site and node, coloured by who holds it. A grid for the
// keyboard: one cell is in the tab order, arrows move, Enter opens the holder.
import { kCommands } from './commands';
import { h, panel, setAttr, setHidden, setText, empty } from './dom';
import { clock, dateTime, num, plural, span } from './format';
import { address } from './links';
import { byNode, kKindNames, slotStates, type SlotState } from './slots';
import type { Store } from './store';
import type { LabView } from './wire';

// Most slots for which a cell is a tile with words, a square, a small square; beyond: a dot.
const kMostTiles = 32;
const kMostSquares = 192;
const kMostSmall = 1200;
const kTileLeast = 138;
const kTileGap = 8;

interface Cell {
  el: HTMLElement;
  state: SlotState;
  shows: string;
  name?: HTMLElement;
  sub?: HTMLElement;
  time?: HTMLElement;
}

// Neighbouring holders of one kind differ a little, so that gangs can be told apart.
function shadeOf(holder: string): number {
  let hash = 0;
  for (const c of holder) hash = (hash * 31 + c.charCodeAt(0)) % 1000003;
  return hash % 3;
}

function sentenceOf(s: SlotState): string {
  const what = s.holder
    ? `${s.kind === 'loan' ? 'on loan to' : `${s.kind},`} ${s.holder}`
    : kKindNames[s.kind].toLowerCase();
  const motion = s.motion ? `, ${s.motion}` : '';
  const health = s.slot.health === 'up' || s.slot.health === s.kind ? '' : `, ${s.slot.health}`;
  return `${s.slot.id}: ${what}${motion}${health}`;
}

export function createSlotMap(store: Store) {
  const { el, body, count } = panel('Slots', 'slots');
  const map = h('div', { class: 'slot-map', role: 'grid', 'aria-label': 'Slots by node' });
  const none = empty('This lab has no slots.', kCommands.slots);
  const tip = h('div', { class: 'tip', id: 'slot-tip', role: 'tooltip', hidden: true });
  body.append(none, map);
  document.body.append(tip);

  let cells = new Map<string, Cell>();
  let layout = '';
  let current = ''; // the cell in the tab order
  let tipFor = '';

  const size = (n: number) =>
    n <= kMostTiles ? 'tile' : n <= kMostSquares ? 'square' : n <= kMostSmall ? 'small' : 'dot';

  function build(states: SlotState[]): void {
    cells = new Map();
    const tiles = size(states.length) === 'tile';
    map.replaceChildren();
    setAttr(map, 'data-size', size(states.length));
    const sites = byNode(states);
    for (const [site, nodes] of sites) {
      const rows = h('div', { class: 'nodes', role: 'presentation' });
      for (const [node, slots] of nodes) {
        const row = h('div', { class: 'node-slots', role: 'row', 'aria-label': `node ${node}` });
        for (const state of slots) {
          const cell: Cell = {
            el: h('div', {
              class: 'slot',
              role: 'gridcell',
              tabindex: '-1',
              'data-slot': state.slot.id,
            }),
            state,
            shows: '',
          };
          if (tiles) {
            cell.name = h('span', { class: 'slot-name' });
            cell.sub = h('span', { class: 'slot-sub' });
            cell.time = h('span', { class: 'slot-time' });
            cell.el.append(
              h('span', { class: 'slot-index' }, state.slot.index),
              cell.time,
              cell.name,
              cell.sub,
            );
          }
          cells.set(state.slot.id, cell);
          row.append(cell.el);
        }
        rows.append(h('div', { class: 'node' }, h('div', { class: 'node-name' }, node), row));
      }
      const only = nodes.size === 1 ? [...nodes.keys()][0]! : '';
      map.append(
        h(
          'div',
          {
            class: `site${only ? ' single' : ''}${sites.size === 1 ? ' alone' : ''}`,
            role: 'rowgroup',
            'aria-label': `site ${site}`,
          },
          h(
            'div',
            { class: 'site-name' },
            site,
            only && h('span', { class: 'faint' }, ` / ${only}`),
            h('span', { class: 'site-note' }),
          ),
          rows,
        ),
      );
    }
    if (!cells.has(current)) current = states[0]?.slot.id ?? '';
    cells.get(current)?.el.setAttribute('tabindex', '0');
    balance();
  }

  // Tiles of a node in lines of equal length: 8 are 4 and 4, never 6 and 2.
  function balance(): void {
    if (map.dataset['size'] !== 'tile') return;
    const fit = Math.max(1, Math.floor((map.clientWidth + kTileGap) / (kTileLeast + kTileGap)));
    map.querySelectorAll<HTMLElement>('.node-slots').forEach((row) => {
      const n = row.childElementCount;
      const columns = Math.ceil(n / Math.ceil(n / fit));
      row.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
    });
  }
  new ResizeObserver(balance).observe(map);

  function paint(cell: Cell, state: SlotState): void {
    cell.state = state;
    const health = state.slot.health;
    const shows = [
      state.kind,
      state.motion,
      state.holder,
      state.lease?.team,
      state.lease?.version,
      health,
    ].join('|');
    if (shows === cell.shows) return;
    cell.shows = shows;
    cell.el.dataset['kind'] = state.kind;
    setAttr(cell.el, 'data-shade', String(shadeOf(state.lease?.holder ?? '')));
    setAttr(cell.el, 'data-motion', state.motion || null);
    setAttr(cell.el, 'data-health', health === 'up' ? null : health);
    setAttr(cell.el, 'aria-label', sentenceOf(state));
    if (!cell.name || !cell.sub) return;
    setText(cell.name, state.holder || kKindNames[state.kind].toLowerCase());
    const what =
      state.kind === 'loan'
        ? `on loan to ${state.lease?.team}`
        : state.lease
          ? state.lease.team + (state.lease.version ? ` · ${state.lease.version}` : '')
          : state.slot.why;
    setText(cell.sub, state.motion ? `${state.motion} · ${what}` : what);
  }

  function paintTime(cell: Cell, now: number): void {
    if (!cell.time) return;
    const { lease, loan } = cell.state;
    let text = '';
    if (loan && loan.phase === 'open') text = clock((loan.due_us - now) / 1e6);
    else if (lease) text = span((now - (lease.active_us || lease.opened_us)) / 1e6);
    setText(cell.time, text);
  }

  function showTip(cell: Cell | undefined): void {
    tipFor = cell?.state.slot.id ?? '';
    setHidden(tip, !cell);
    if (!cell) return;
    const { state } = cell;
    const { lease, loan, slot } = state;
    const now = store.now_us();
    const line = (k: string, v: string) => v && h('div', null, h('dt', null, k), h('dd', null, v));
    const since = lease ? lease.active_us || lease.opened_us : 0;
    tip.replaceChildren(
      h(
        'div',
        { class: 'tip-head' },
        h('i', { class: `swatch k-${state.kind}`, 'aria-hidden': 'true' }),
        h('b', null, state.holder || kKindNames[state.kind]),
        h('span', null, state.motion || (lease ? kKindNames[state.kind].toLowerCase() : '')),
      ),
      h(
        'dl',
        null,
        line('slot', slot.id),
        line('team', lease?.team ?? ''),
        line('version', lease?.version ?? ''),
        line(
          'since',
          since ? `${dateTime(since).slice(11)} (${span((now - since) / 1e6)} ago)` : '',
        ),
        line('loan due', loan ? `in ${clock((loan.due_us - now) / 1e6)} (${loan.id})` : ''),
        line('health', slot.health === 'up' ? '' : `${slot.health}: ${slot.why || 'no reason'}`),
        line('why', lease?.why ?? ''),
      ),
    );
    const at = cell.el.getBoundingClientRect();
    const box = tip.getBoundingClientRect();
    const left = Math.max(8, Math.min(at.left, innerWidth - box.width - 8));
    const below = at.bottom + 8 + box.height < innerHeight;
    tip.style.left = `${left}px`;
    tip.style.top = `${below ? at.bottom + 8 : Math.max(8, at.top - box.height - 8)}px`;
  }

  const cellAt = (target: EventTarget | null): Cell | undefined => {
    const id = (target as Element | null)?.closest?.('.slot')?.getAttribute('data-slot');
    return id ? cells.get(id) : undefined;
  };

  function open(cell: Cell | undefined): void {
    if (cell?.state.target) location.hash = address(cell.state.target);
  }

  function focus(cell: Cell | undefined): void {
    if (!cell) return;
    cells.get(current)?.el.setAttribute('tabindex', '-1');
    current = cell.state.slot.id;
    cell.el.setAttribute('tabindex', '0');
    cell.el.focus();
  }

  // The cell in the next line up or down whose middle is nearest.
  function vertical(from: Cell, down: boolean): Cell | undefined {
    const a = from.el.getBoundingClientRect();
    const x = a.left + a.width / 2;
    let best: Cell | undefined;
    let least = Infinity;
    for (const cell of cells.values()) {
      const b = cell.el.getBoundingClientRect();
      const dy = down ? b.top - a.top : a.top - b.top;
      if (dy < a.height / 2) continue;
      const distance = dy * 1000 + Math.abs(b.left + b.width / 2 - x);
      if (distance < least) {
        least = distance;
        best = cell;
      }
    }
    return best;
  }

  map.addEventListener('keydown', (event) => {
    const cell = cellAt(event.target);
    if (!cell || event.ctrlKey || event.metaKey || event.altKey) return;
    const all = [...cells.values()];
    const i = all.indexOf(cell);
    switch (event.key) {
      case 'ArrowRight':
        focus(all[i + 1]);
        break;
      case 'ArrowLeft':
        focus(all[i - 1]);
        break;
      case 'ArrowDown':
        focus(vertical(cell, true));
        break;
      case 'ArrowUp':
        focus(vertical(cell, false));
        break;
      case 'Home':
        focus(all[0]);
        break;
      case 'End':
        focus(all[all.length - 1]);
        break;
      case 'Enter':
      case ' ':
        open(cell);
        break;
      case 'Escape':
        showTip(undefined);
        return;
      default:
        return;
    }
    event.preventDefault();
  });
  map.addEventListener('click', (event) => {
    const cell = cellAt(event.target);
    focus(cell);
    open(cell);
  });
  map.addEventListener('focusin', (event) => showTip(cellAt(event.target)));
  map.addEventListener('focusout', () => showTip(undefined));
  map.addEventListener('mouseover', (event) => showTip(cellAt(event.target)));
  map.addEventListener('mouseleave', () => showTip(undefined));
  window.addEventListener('scroll', () => showTip(undefined), { passive: true });

  return {
    el,
    map,
    update(view: LabView) {
      const states = slotStates(view);
      setHidden(none, states.length > 0);
      const nodes = new Set(states.map((s) => `${s.slot.site} / ${s.slot.node}`));
      const where = nodes.size === 1 ? [...nodes][0]! : plural(nodes.size, 'node');
      setText(count, states.length ? `${num(states.length)} on ${where}` : '');
      const wanted = states.map((s) => s.slot.id).join(' ');
      if (wanted !== layout) {
        layout = wanted;
        const focused = cellAt(document.activeElement);
        build(states);
        if (focused) focus(cells.get(current));
      }
      for (const state of states) paint(cells.get(state.slot.id)!, state);
      view.sites.forEach((site) => {
        const group = map.querySelector(
          `[aria-label="${CSS.escape('site ' + site.name)}"] .site-note`,
        );
        if (!group) return;
        setText(group, site.reachable ? '' : 'not reachable: what runs there is unknown, not gone');
      });
      if (tipFor) showTip(cells.get(tipFor));
    },
    tick(now: number) {
      for (const cell of cells.values()) paintTime(cell, now);
    },
  };
}
