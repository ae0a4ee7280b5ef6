// The sites of the lab: whether each answers, what it has, what is held there and what that costs.
import { h, panel, renderIfChanged, setHidden, setText } from './dom';
import { num, span } from './format';
import type { LabView, Site } from './wire';

interface Row {
  site: Site;
  slots: number;
  usable: number;
  held: number;
  state: string;
}

export function siteRows(view: LabView): Row[] {
  const holders = new Set(view.leases.flatMap((l) => l.slots));
  return view.sites.map((site) => {
    const slots = view.slots.filter((s) => s.site === site.name);
    const silent = site.unknown_since_us ? (view.now_us - site.unknown_since_us) / 1e6 : 0;
    return {
      site,
      slots: slots.length,
      usable: slots.filter((s) => s.health === 'up').length,
      held: slots.filter((s) => holders.has(s.id)).length,
      state: !site.reachable
        ? silent > 0
          ? `unknown for ${span(silent)}`
          : 'unknown'
        : site.draining
          ? 'draining'
          : 'answers',
    };
  });
}

/** Hidden while the lab has this machine alone: the map of slots says it all. */
export function createSites() {
  const { el, body, count } = panel('Sites', 'sites');
  const scroll = h('div', { class: 'scroll-x' });
  body.append(scroll);
  return {
    el,
    update(view: LabView) {
      const rows = siteRows(view);
      setHidden(el, rows.length < 2);
      setText(count, num(rows.length));
      renderIfChanged(scroll, rows, () => {
        if (rows.length < 2) return [];
        const head = (text: string, title = '') =>
          h('th', { scope: 'col', class: title ? 'num' : '', title: title || undefined }, text);
        const cell = (text: string) => h('td', { class: 'num' }, text);
        return [
          h(
            'table',
            { class: 'sites' },
            h(
              'thead',
              null,
              h(
                'tr',
                null,
                head('Site'),
                head('State'),
                head('Provider'),
                head('Slots', 'slots that it lists'),
                head('Usable', 'up, and not held by the site’s other users'),
                head('Held', 'slots that leases hold'),
                head('$/h', 'price of what is held, for an hour'),
              ),
            ),
            h(
              'tbody',
              null,
              ...rows.map(({ site, slots, usable, held, state }) => {
                const where = [site.provider, site.region].filter(Boolean).join(', ');
                const said = h('td', null, state);
                if (site.why) said.append(' ', h('span', { class: 'faint' }, site.why));
                return h(
                  'tr',
                  { 'data-site': site.name },
                  h('td', null, site.name),
                  said,
                  h('td', null, where || '–'),
                  cell(num(slots)),
                  cell(num(usable)),
                  cell(num(held)),
                  cell((held * (site.price_usd_per_slot_h ?? 0)).toFixed(2)),
                );
              }),
            ),
          ),
        ];
      });
    },
  };
}
