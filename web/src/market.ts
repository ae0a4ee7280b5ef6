// The market page: contracts on a time line, what is due and owed, offers side by side, and who
// cost what.
import { get } from './api';
import { bars, monthChart } from './chart';
import { kCommands } from './commands';
import { empty, h, panel, renderIfChanged, setHidden, setText, type Child } from './dom';
import { dayOf, money, monthText, num, percent, plural, price, span } from './format';
import { link } from './links';
import { fetchedPage, type Page } from './pages';
import {
  axisOf,
  inUnits,
  kSeriesColors,
  monthSplits,
  spendByTeam,
  type Axis,
  type ChartSeries,
  type TeamSpend,
} from './series';
import type { Store } from './store';
import type { ContractLine, LedgerView, MarketView, OfferLine, Terms } from './wire';

const kEvery_s = 5;
const kDueShown = 12;
const kMonthsOwed = 36;
const kTeams = kSeriesColors - 1;

const days = (n: number) => plural(Math.round(n), 'day');

// ---- contracts on a time line ----

function place(el: HTMLElement, axis: Axis, from: number, to = from): HTMLElement {
  const share = (d: number) =>
    Math.max(0, Math.min(1, (d - axis.from) / (axis.to - axis.from))) * 100;
  el.style.left = `${share(from)}%`;
  if (to > from) el.style.width = `${share(to) - share(from)}%`;
  return el;
}

function spoken(line: ContractLine): string {
  const { contract, end, notice_by } = line.view;
  const spans = line.spans.map((s) => `${s.phase} from ${s.from}`).join(', ');
  const notice = notice_by ? `; notice by ${notice_by}` : '';
  return `${contract.id}: ${spans || 'a draft, not signed'}, ends ${end}${notice}`;
}

function track(line: ContractLine, axis: Axis, now: number): HTMLElement {
  const el = h('div', { class: 'track', role: 'img', 'aria-label': spoken(line) });
  for (const t of axis.ticks) el.append(place(h('i', { class: 'tick' }), axis, t.day));
  for (const s of line.spans) {
    const to = dayOf(s.to);
    const bar = h('span', {
      class: 'life',
      'data-phase': s.phase,
      title: `${s.phase}, ${s.from} to ${s.to}`,
    });
    if (to > axis.from) el.append(place(bar, axis, Math.max(axis.from, dayOf(s.from)), to));
  }
  if (!line.spans.length) {
    const { contract, end } = line.view;
    const bar = h('span', { class: 'life', 'data-phase': 'draft', title: 'a draft, not signed' });
    el.append(place(bar, axis, Math.max(axis.from, dayOf(contract.start)), dayOf(end)));
  }
  el.append(place(h('i', { class: 'today' }), axis, now));
  const by = dayOf(line.view.notice_by);
  if (by >= axis.from && by <= axis.to) {
    const mark = h('i', { class: 'notice-mark', title: `notice by ${line.view.notice_by}` });
    el.append(place(mark, axis, by));
  }
  return el;
}

function termWords(t: Terms): string[] {
  const out = [`${price(inUnits(t.price_micro), t.currency)}/h`];
  out.push(t.term_months ? `${t.term_months} months` : 'by the hour');
  if (t.term_months && t.take_or_pay_ppm < 1e6)
    out.push(`take-or-pay ${percent(t.take_or_pay_ppm / 1e6)}`);
  if (t.prepay_ppm) out.push(`${percent(t.prepay_ppm / 1e6)} prepaid`);
  if (t.notice_days) out.push(`notice ${days(t.notice_days)}`);
  if (t.renews) out.push('renews by itself');
  if (t.term_months && t.early_exit_ppm < 1e6)
    out.push(`exit at ${percent(t.early_exit_ppm / 1e6)}`);
  for (const s of t.swaps) out.push(`swap to ${s.accelerator} from month ${s.from_month}`);
  if (t.sla.tiers.length) out.push(`SLA ${percent(t.sla.tiers[0]!.below_ppm / 1e6, 2)}`);
  return out;
}

function contractFacts(line: ContractLine, today: string): HTMLElement {
  const c = line.view.contract;
  const t = c.terms;
  const facts: [string, string][] = [
    ['Terms', termWords(t).join(', ')],
    ['Accelerators', `${num(line.view.delivered)} of ${num(c.quantity)} ${t.accelerator}`],
    ['Price today', `${price(inUnits(line.view.price_micro), t.currency)} an accelerator-hour`],
    ['Still owed', `${money(inUnits(line.still_owed_micro), t.currency)}, used or not`],
    ['Site', c.site || '–'],
    ['Signed', c.signed_on || 'not yet'],
    ['Notice', line.view.notice_by ? `by ${line.view.notice_by}` : c.notice_on || '–'],
  ];
  const late = (d: { promised: string; delivered: string }) =>
    Math.max(0, dayOf(d.delivered || today) - dayOf(d.promised));
  return h(
    'div',
    { class: 'contract-more' },
    h(
      'dl',
      { class: 'facts' },
      ...facts.map(([k, v]) => h('div', null, h('dt', null, k), h('dd', null, v))),
    ),
    c.deliveries.length > 0 &&
      h(
        'ul',
        { class: 'deliveries' },
        ...c.deliveries.map((d) =>
          h(
            'li',
            null,
            `${num(d.quantity)} promised ${d.promised}, `,
            d.delivered ? `delivered ${d.delivered}` : 'outstanding',
            late(d) > 0 && h('span', { class: 'badge warn' }, `${days(late(d))} late`),
          ),
        ),
      ),
  );
}

function contractRow(
  line: ContractLine,
  axis: Axis,
  today: string,
  open: Set<string>,
): HTMLElement {
  const c = line.view.contract;
  const more = contractFacts(line, today);
  more.id = `more-${c.id}`;
  more.hidden = !open.has(c.id);
  const button = h(
    'button',
    {
      type: 'button',
      class: 'quiet contract-name',
      'aria-expanded': String(!more.hidden),
      'aria-controls': more.id,
      'data-key': c.id,
    },
    h('b', null, c.provider),
    h('span', { class: 'faint' }, `${num(c.quantity)} × ${c.terms.accelerator}`),
    h('span', { class: 'faint' }, `${c.id} · ${line.view.phase}`),
  );
  button.addEventListener('click', () => {
    more.hidden = !more.hidden;
    button.setAttribute('aria-expanded', String(!more.hidden));
    if (more.hidden) open.delete(c.id);
    else open.add(c.id);
  });
  return h(
    'li',
    { 'data-contract': c.id, 'data-phase': line.view.phase },
    h('div', { class: 'contract-row' }, button, track(line, axis, dayOf(today))),
    more,
  );
}

// ---- offers ----

function offerRow(o: OfferLine, best: boolean, currency: string): HTMLElement {
  const offer = o.view.offer;
  const part = (v: number) => h('td', { class: 'num' }, Math.abs(v) < 5e-4 ? '–' : signed(v));
  const known = o.rate > 0;
  return h(
    'tr',
    { 'data-offer': offer.id, 'data-best': best ? '' : null },
    h(
      'td',
      null,
      h('b', null, offer.provider),
      ' ',
      h('span', { class: 'faint' }, offer.name ? `${offer.name} · ${offer.id}` : offer.id),
    ),
    h('td', { class: 'num' }, num(o.quantity)),
    h('td', { class: 'num' }, o.start || '–'),
    h('td', { class: 'num' }, known ? o.price.toFixed(3) : '–'),
    part(o.timing),
    part(o.delivery),
    part(o.failures),
    h(
      'td',
      { class: 'num rate' },
      known ? h('b', null, price(o.rate, currency)) : h('span', { class: 'faint' }, 'no rate'),
    ),
    h('td', { class: 'num' }, offer.expires || 'stands'),
    h(
      'td',
      { class: 'terms' },
      ...(best
        ? [termWords(offer.terms).join(', ')]
        : o.differs.length
          ? o.differs.flatMap((d): Child[] => [h('mark', null, d), ' '])
          : ['the same terms']),
      o.why_not ? h('span', { class: 'faint' }, ` ${o.why_not}`) : null,
    ),
  );
}

function signed(v: number): string {
  return (v >= 0 ? '+' : '−') + Math.abs(v).toFixed(3);
}

function offerTables(m: MarketView): HTMLElement[] {
  const types = new Map<string, OfferLine[]>();
  for (const o of m.offers) {
    const type = o.view.offer.terms.accelerator;
    types.set(type, [...(types.get(type) ?? []), o]);
  }
  const heads: [string, string][] = [
    ['Offer', ''],
    ['Count', 'all that is offered'],
    ['From', 'if signed today'],
    ['Price', 'of an accelerator-hour, averaged over the term'],
    ['Timing', 'what prepayment costs, and prices that move'],
    ['Late', 'bridging a late delivery, as this provider’s record expects'],
    ['Failures', 'hours paid that are lost'],
    ['Useful hour', 'of work that is kept: the parts before it added up'],
    ['Until', 'last day on which it stands'],
    ['Terms', 'of the best; of the others what differs from it'],
  ];
  return [...types].map(([type, offers]) =>
    h(
      'div',
      { class: 'scroll-x', 'data-accelerator': type, tabindex: '0', role: 'group' },
      h(
        'table',
        { class: 'offers' },
        h('caption', null, type),
        h(
          'thead',
          null,
          h(
            'tr',
            null,
            ...heads.map(([text, title], i) =>
              h(
                'th',
                { scope: 'col', class: i > 0 && i < 9 ? 'num' : '', title: title || undefined },
                text,
              ),
            ),
          ),
        ),
        h('tbody', null, ...offers.map((o, i) => offerRow(o, i === 0, m.currency))),
      ),
    ),
  );
}

// ---- spend ----

function spendSeries(teams: TeamSpend[]): ChartSeries[] {
  const named = teams.slice(0, -1);
  const shown = named.slice(0, kTeams - 1);
  const others = named.slice(kTeams - 1);
  const series = shown.map((t, i): ChartSeries => ({
    label: t.team,
    color: `--s${i}`,
    values: t.by_month,
    stacked: true,
  }));
  if (others.length) {
    const sum = others[0]!.by_month.map((_, i) => others.reduce((s, t) => s + t.by_month[i]!, 0));
    series.push({ label: 'others', color: `--s${kTeams - 1}`, values: sum, stacked: true });
  }
  const idle = teams[teams.length - 1]!;
  series.push({ label: 'idle', color: '--idle', values: idle.by_month, stacked: true });
  return series;
}

export function createMarket(store: Store): Page {
  const contracts = panel('Contracts', 'contracts');
  const due = panel('Due', 'due');
  const owed = panel('Owed', 'owed');
  const offers = panel('Offers', 'offers');
  const spend = panel('Spend', 'spend');
  const loans = panel('Loans', 'loan-costs');
  const providers = panel('Providers', 'providers');
  const open = new Set<string>();

  const line = h('ul', { class: 'timeline' });
  const axisEl = h('div', { class: 'contract-row axis', 'aria-hidden': 'true' });
  const key = h(
    'ul',
    { class: 'legend', 'aria-label': 'Phases' },
    ...['signed', 'ramping', 'active', 'in notice', 'draft'].map((p) =>
      h('li', null, h('i', { class: 'life swatch', 'data-phase': p }), p),
    ),
    h('li', null, h('i', { class: 'notice-mark' }), 'last day for notice'),
  );
  const noContracts = empty('No contract yet. Accept an offer, then sign it.', kCommands.accept);
  contracts.body.append(noContracts, axisEl, line, key);

  const dueList = h('ol', { class: 'due' });
  const noDue = empty('Nothing is due in the next 180 days.');
  due.body.append(noDue, dueList);

  const owedChart = monthChart({
    label: 'Cash owed',
    height: 170,
    format: (v) => money(v, currency),
  });
  const owedSum = h('p', { class: 'faint' });
  const noOwed = empty('Nothing is owed: no contract is signed.');
  owed.body.append(noOwed, owedChart.el, owedSum);

  const noOffers = empty('No offer is open. Add one, or import a price list.', kCommands.offer);
  const offerBox = h('div', { class: 'offer-tables' });
  offers.body.append(noOffers, offerBox);

  const spendChart = monthChart({
    label: 'Spend by team',
    height: 170,
    format: (v) => money(v, currency),
  });
  const spendTable = h('div');
  const noSpend = empty(
    'No contract has cost anything yet: leases that no contract provides for are free here.',
  );
  spend.body.append(noSpend, spendChart.el, spendTable);

  const providerBox = h('div', { class: 'scroll-x' });
  providers.body.append(providerBox);

  let currency = 'USD';

  function paintContracts(m: MarketView): void {
    setHidden(noContracts, m.contracts.length > 0);
    setHidden(line, m.contracts.length === 0);
    setHidden(key, m.contracts.length === 0);
    setHidden(axisEl, m.contracts.length === 0);
    setText(contracts.count, m.contracts.length ? num(m.contracts.length) : '');
    const axis = axisOf(m.contracts, m.today);
    renderIfChanged(axisEl, axis, () => {
      const ticks = h('div', { class: 'track' });
      for (const t of axis.ticks) {
        ticks.append(place(h('span', { class: 'tick-text' }, t.text), axis, t.day));
      }
      return [h('span'), ticks];
    });
    renderIfChanged(line, [m.contracts, m.today], () =>
      m.contracts.map((l) => contractRow(l, axis, m.today, open)),
    );
  }

  function paintDue(m: MarketView): void {
    setHidden(noDue, m.due.length > 0);
    setText(due.count, m.due.length ? num(m.due.length) : '');
    renderIfChanged(dueList, [m.due, m.today], () =>
      m.due.slice(0, kDueShown).map((d) => {
        const left = dayOf(d.on) - dayOf(m.today);
        const soon = left <= 14 && ['notice by', 'offer expires', 'claim by'].includes(d.kind);
        return h(
          'li',
          { 'data-kind': d.kind },
          h('time', { datetime: d.on }, d.on),
          h('span', { class: soon ? 'badge warn' : 'badge' }, d.kind),
          h('span', null, d.what),
          h('span', { class: 'faint num' }, left === 0 ? 'today' : `in ${days(left)}`),
        );
      }),
    );
  }

  function paintOwed(m: MarketView): void {
    const months = m.owed.slice(0, kMonthsOwed);
    setHidden(noOwed, months.length > 0);
    setHidden(owedChart.el, months.length === 0);
    setHidden(owedSum, months.length === 0);
    if (!months.length) return;
    const first = months[0]!.month;
    const n = months[months.length - 1]!.month - first + 1;
    const column = (of: (x: (typeof months)[0]) => number) => {
      const out = Array.from({ length: n }, () => 0);
      for (const x of months) out[x.month - first] = inUnits(of(x));
      return out;
    };
    owedChart.set({
      xLabel: (x) => monthText(first + Math.floor(x)),
      xSplits: monthSplits(n),
      series: [
        {
          label: 'at least, used or not',
          color: '--s0',
          values: column((x) => x.at_least_micro),
          stacked: true,
        },
        {
          label: 'if all is used',
          color: '--s1',
          values: column((x) => x.if_used_micro),
          step: true,
        },
      ],
    });
    const least = m.owed.reduce((s, x) => s + inUnits(x.at_least_micro), 0);
    const most = m.owed.reduce((s, x) => s + inUnits(x.if_used_micro), 0);
    const hours = m.owed.reduce((s, x) => s + x.accelerator_hours, 0);
    setText(
      owedSum,
      `${money(least, currency)} in any case and ${money(most, currency)} if all is used, for ` +
        `${num(hours)} accelerator-hours until ${monthText(m.owed[m.owed.length - 1]!.month)}.` +
        m.notes.map((note) => ` ${note}`).join(''),
    );
  }

  function paintOffers(m: MarketView): void {
    setHidden(noOffers, m.offers.length > 0);
    setText(offers.count, m.offers_open ? `${num(m.offers_open)} open` : '');
    renderIfChanged(offerBox, [m.offers, m.currency], () => [
      ...offerTables(m),
      m.offers_open > m.offers.length &&
        h(
          'p',
          { class: 'faint' },
          `and ${num(m.offers_open - m.offers.length)} dearer ones: ${kCommands.compare}`,
        ),
    ]);
  }

  function paintProviders(m: MarketView): void {
    setHidden(providers.el, m.providers.length === 0);
    renderIfChanged(providerBox, m.providers, () => [
      h(
        'table',
        null,
        h(
          'thead',
          null,
          h(
            'tr',
            null,
            ...['Provider', 'Open offers', 'Contracts', 'Delivered late'].map((t, i) =>
              h('th', { scope: 'col', class: i ? 'num' : '' }, t),
            ),
          ),
        ),
        h(
          'tbody',
          null,
          ...m.providers.map((p) =>
            h(
              'tr',
              null,
              h('td', null, p.provider),
              h('td', { class: 'num' }, num(p.open_offers)),
              h('td', { class: 'num' }, num(p.contracts)),
              h(
                'td',
                { class: 'num' },
                p.due > 0
                  ? p.late > 0
                    ? `${num(p.late)} of ${num(p.due)}, ${days(p.mean_days_late)} on average`
                    : `none of ${num(p.due)}`
                  : '–',
              ),
            ),
          ),
        ),
      ),
    ]);
  }

  function paintSpend(l: LedgerView): void {
    const some = l.ledger.months.length > 0;
    setHidden(noSpend, some);
    setHidden(spendChart.el, !some);
    setHidden(spendTable, !some);
    setHidden(loans.el, l.ledger.loans.length === 0);
    if (!some) return;
    const of = l.ledger.currency;
    const teams = spendByTeam(l);
    const n = l.last_month - l.first_month + 1;
    setText(
      spend.count,
      `${monthText(l.first_month)} to ${monthText(l.last_month)}, this month to date`,
    );
    spendChart.set({
      xLabel: (x) => monthText(l.first_month + Math.floor(x)),
      xSplits: monthSplits(n),
      series: spendSeries(teams),
    });
    setText(loans.count, 'what each cost, by who lent');
    renderIfChanged(loans.body, l.ledger.loans, () => [loanTable(l, of)]);
    const whole = teams.reduce((s, t) => s + t.cost, 0);
    renderIfChanged(spendTable, [teams, l.ledger.uncovered_slot_seconds], () => [
      bars(
        teams.map((t, i) => ({
          name: t.team,
          value: t.cost,
          text: `${money(t.cost, of)} · ${percent(whole > 0 ? t.cost / whole : 0)}`,
          color: i === teams.length - 1 ? '--idle' : `--s${Math.min(i, kTeams - 1)}`,
        })),
        'Cost by team',
      ),
      l.ledger.uncovered_slot_seconds > 0 &&
        h(
          'p',
          { class: 'faint' },
          `${span(l.ledger.uncovered_slot_seconds)} of a slot ran beyond what any contract ` +
            'provided: they cost nothing here.',
        ),
    ]);
  }

  const page = fetchedPage(store, {
    id: 'market',
    title: 'Market',
    every_s: kEvery_s,
    fetch: () => Promise.all([get<MarketView>('/api/v1/market'), get<LedgerView>('/api/v1/spend')]),
    paint: ([m, l]) => {
      currency = m.currency;
      paintContracts(m);
      paintDue(m);
      paintOwed(m);
      paintOffers(m);
      paintProviders(m);
      paintSpend(l);
    },
    body: [
      contracts.el,
      h('div', { class: 'page-columns' }, due.el, owed.el),
      offers.el,
      h(
        'div',
        { class: 'page-columns' },
        spend.el,
        h('div', { class: 'column' }, loans.el, providers.el),
      ),
    ],
  });
  return page;
}

const kLoansShown = 12;

function loanTable(l: LedgerView, of: string): HTMLElement {
  const loans = [...l.ledger.loans].reverse().slice(0, kLoansShown);
  return h(
    'table',
    { class: 'loan-costs' },
    h(
      'thead',
      null,
      h(
        'tr',
        null,
        h('th', { scope: 'col' }, 'Loan'),
        h('th', { scope: 'col' }, 'Lent by'),
        h('th', { scope: 'col', class: 'num' }, 'Cost'),
      ),
    ),
    h(
      'tbody',
      null,
      ...loans.map((x) =>
        h(
          'tr',
          null,
          h('td', null, link('loans/' + x.loan, x.loan)),
          h('td', null, x.lender || 'idle capacity'),
          h('td', { class: 'num' }, money(inUnits(x.cost_micro), of)),
        ),
      ),
    ),
  );
}
