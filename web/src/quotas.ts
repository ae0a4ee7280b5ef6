// The tree of quotas: what each team is entitled to, holds, has lent and borrowed.
import { empty, h, panel, renderIfChanged, setHidden, setText } from './dom';
import { num, short } from './format';
import type { LabView, QuotaView, Team } from './wire';

interface Line {
  team: Team;
  depth: number;
  quota?: QuotaView;
}

/** Parents before their children, siblings in the order of the view; a circle ends where it began. */
export function quotaLines(view: LabView): Line[] {
  const names = new Set(view.teams.map((t) => t.name));
  const quotas = new Map((view.quotas ?? []).map((q) => [q.team, q]));
  const out: Line[] = [];
  const seen = new Set<string>();
  const add = (parent: string, depth: number) => {
    for (const team of view.teams) {
      const above = names.has(team.parent) ? team.parent : '';
      if (above !== parent || seen.has(team.name)) continue;
      seen.add(team.name);
      out.push({ team, depth, quota: quotas.get(team.name) });
      add(team.name, depth + 1);
    }
  };
  add('', 0);
  return out;
}

/** What is held, as a bar on the scale of the biggest number in the tree; a mark for the share. */
function bar(line: Line, scale: number): HTMLElement {
  const q = line.quota;
  const part = (n: number) => `${(100 * Math.min(1, n / scale)).toFixed(2)}%`;
  const held = h('i', { class: `held held-${line.team.class}` });
  const lent = h('i', { class: 'lent' });
  const mark = h('i', { class: 'mark' });
  held.style.width = part(q?.held ?? 0);
  lent.style.width = part(q?.lent ?? 0);
  mark.style.left = part(line.team.class === 'research' ? (q?.entitled ?? 0) : (q?.guarantee ?? 0));
  return h('div', { class: 'quota-bar', 'aria-hidden': 'true' }, held, lent, mark);
}

export function createQuotas() {
  const { el, body, count } = panel('Quotas', 'quotas');
  const none = empty('No team yet.', 'weir team put research --class research --guarantee 3');
  const scroll = h('div', { class: 'scroll-x' });
  body.append(none, scroll);
  return {
    el,
    update(view: LabView) {
      const lines = quotaLines(view);
      setText(count, lines.length ? num(lines.length) : '');
      setHidden(none, lines.length > 0);
      const head = (text: string, title = '') =>
        h('th', { scope: 'col', class: title ? 'num' : '', title: title || undefined }, text);
      renderIfChanged(scroll, lines, () => {
        if (!lines.length) return [];
        const scale = Math.max(
          1,
          ...lines.map((l) =>
            Math.max(
              (l.quota?.held ?? 0) + (l.quota?.lent ?? 0),
              l.quota?.entitled ?? 0,
              l.quota?.guarantee ?? 0,
            ),
          ),
        );
        return [
          h(
            'table',
            { class: 'quotas' },
            h(
              'thead',
              null,
              h(
                'tr',
                null,
                head('Team'),
                head('Use of its share'),
                head('Entitled', 'its share now: guarantee, what it is owed, then by weight'),
                head('Guarantee', 'slots that it gets whenever it has work'),
                head('Holds', 'slots that its work holds'),
                head('Lent', 'slots of it that are out on loan'),
                head('Borrowed', 'research: beyond its guarantee; product: on loan'),
                head('Waiting', 'jobs that wait'),
                head('Used', 'slot-hours so far'),
              ),
            ),
            h(
              'tbody',
              null,
              ...lines.map((l) => {
                const name = h('td', null, l.team.name);
                name.style.paddingInlineStart = `${0.6 + 1.1 * l.depth}rem`;
                const q = l.quota;
                if (q?.note) name.append(h('span', { class: 'faint quota-note' }, q.note));
                const cell = (text: string) => h('td', { class: 'num' }, text);
                return h(
                  'tr',
                  { 'data-team': l.team.name },
                  name,
                  h('td', null, bar(l, scale)),
                  cell(l.team.class === 'product' ? '–' : q ? q.entitled.toFixed(1) : '–'),
                  cell(num(q?.guarantee ?? l.team.guarantee_slots)),
                  cell(q ? num(q.held) : '–'),
                  cell(q ? num(q.lent) : '–'),
                  cell(q ? num(q.borrowed) : '–'),
                  cell(q ? num(q.waiting) : '–'),
                  cell(q ? short(q.used_slot_h) : '–'),
                );
              }),
            ),
          ),
        ];
      });
    },
  };
}
