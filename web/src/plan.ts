// The plan page: the newest plan of what to rent that the lab holds. What to sign and what it is
// worth, commitments against the fan of demand, what it costs, and what it depends on.
import { get } from './api';
import { bars, lineChart, monthChart, type Chart } from './chart';
import { kCommands } from './commands';
import { empty, h, panel, renderIfChanged, setHidden, setText } from './dom';
import { dateTime, money, monthOf, monthText, num, percent, price } from './format';
import { fetchedPage, type Page } from './pages';
import { kSeriesColors, ladderSeries, monthSplits, type ChartSeries } from './series';
import type { Store } from './store';
import type { HeldPlan, PlanDoc, PlanRival } from './wire';

const kEvery_s = 5;
const kMostLadders = 8;
const kMostOffers = 60;
const kMostBars = 10;

const usd = (micro: number) => money(micro / 1e6);

function badge(decision: string): HTMLElement {
  const good = /^(sign|renew)/.test(decision);
  const ask = decision === 'renegotiate';
  return h('span', { class: `badge ${good ? 'good' : ask ? 'warn' : ''}` }, decision);
}

function table(
  cls: string,
  heads: [string, 'num' | '', string?][],
  rows: HTMLElement[],
): HTMLElement {
  return h(
    'div',
    { class: 'scroll-x', tabindex: '0', role: 'group' },
    h(
      'table',
      { class: cls },
      h(
        'thead',
        null,
        h(
          'tr',
          null,
          ...heads.map(([text, num, title]) =>
            h('th', { scope: 'col', class: num, title: title }, text),
          ),
        ),
      ),
      h('tbody', null, ...rows),
    ),
  );
}

const cell = (text: string) => h('td', { class: 'num' }, text);

function offerRows(p: PlanDoc): HTMLElement[] {
  return p.offers
    .slice(0, kMostOffers)
    .map((o) =>
      h(
        'tr',
        { 'data-offer': o.offer, 'data-decision': o.decision },
        h(
          'td',
          null,
          h('b', null, o.offer),
          ' ',
          h('span', { class: 'faint' }, [o.provider, o.pool].filter(Boolean).join(' · ')),
        ),
        h('td', null, badge(o.decision)),
        h(
          'td',
          { class: 'num' },
          o.from ||
            (o.walk_away_accelerators > 0
              ? h('span', { class: 'faint' }, `${num(o.walk_away_accelerators)} if so`)
              : '–'),
        ),
        cell(o.sign_by ?? '–'),
        cell(price(o.ask_usd_h)),
        h(
          'td',
          { class: 'num' },
          h('b', null, o.indispensable ? 'any price' : price(o.walk_away_usd_h)),
        ),
        cell(
          o.indispensable ? 'indispensable' : o.worth_microusd > 0 ? usd(o.worth_microusd) : '–',
        ),
        h('td', { class: 'terms' }, o.flips_with || '–'),
      ),
    );
}

function costSeries(rivals: PlanRival[]): ChartSeries[] {
  return rivals
    .filter((r) => r.cost_quantiles_microusd.length > 0)
    .slice(0, kSeriesColors)
    .map((r, i) => {
      const s: ChartSeries = {
        label: r.name,
        color: i ? `--s${i}` : '--ink',
        values: r.cost_quantiles_microusd.map((v) => v / 1e6),
        width: i ? 1.5 : 2.5,
      };
      if (i) s.dash = [5, 3];
      return s;
    });
}

export function createPlan(store: Store): Page {
  const what = panel('What to do', 'decisions');
  const ladder = panel('Commitments against demand', 'ladders');
  const cost = panel('What it costs', 'costs');
  const against = panel('Against simpler ways of planning', 'against');
  const shortage = panel('Shortage', 'shortage');
  const shares = panel('Provider shares', 'shares');
  const sense = panel('What it bets on', 'bets');
  const stress = panel('What would break it', 'stress');
  const notes = panel('Assumptions', 'notes');

  const title = h('h2', { class: 'plan-title' });
  const sub = h('p', { class: 'faint' });
  const figures = h('dl', { class: 'figures' });
  const head = h('section', { class: 'plan-head' }, h('div', null, title, sub), figures);

  const ladders = h('div', { class: 'ladders' });
  ladder.body.append(
    h(
      'p',
      { class: 'faint' },
      'Steps: what is held and signed, as promised. Lines: demand in futures that the planner has ' +
        'not seen.',
    ),
    ladders,
  );
  let charts: Chart[] = [];

  const costChart = lineChart({
    label: 'Cost in unseen futures, from the cheapest to the dearest',
    height: 190,
    format: (v) => money(v),
  });
  cost.body.append(costChart.el);
  const shortChart = monthChart({
    label: 'Expected shortage',
    height: 190,
    format: (v) => `${v.toFixed(v < 9.95 ? 1 : 0)}%`,
  });
  const shortNote = h('p', { class: 'faint' });
  shortage.body.append(shortChart.el, shortNote);

  function figure(name: string, value: string, note: string): HTMLElement {
    return h(
      'div',
      { class: 'figure' },
      h('dt', null, name),
      h('dd', { class: 'num' }, value),
      h('dd', { class: 'faint' }, note),
    );
  }

  function paintHead(held: HeldPlan): void {
    const p = held.plan;
    const mine = p.unseen_futures[0];
    setText(title, p.title || 'Plan');
    setText(
      sub,
      `${num(p.months)} months from ${p.start}; ${num(p.futures)} futures planned for, ` +
        `${num(p.unseen)} unseen ones to judge by. Put by ${held.put_by || 'weir'} at ${dateTime(held.put_us)}.`,
    );
    const sure = p.proof.sample_gap_95_microusd?.[1];
    renderIfChanged(figures, p, () =>
      mine
        ? [
            figure(
              'Expected cost',
              usd(mine.mean_microusd),
              `committed ${usd(mine.committed_microusd)}`,
            ),
            figure(
              `Worst ${percent(p.tail)}`,
              usd(mine.cvar_microusd),
              'the mean of those futures',
            ),
            figure(
              'Research missed',
              percent(mine.research_missed, 1),
              `${num(mine.floor_missed_h)} h of its floor`,
            ),
            figure('Product missed', percent(mine.product_missed, 1), 'of its work, expected'),
            figure(
              'Proven within',
              percent(p.proof.gap, 2),
              sure === undefined
                ? p.proof.by_cbc
                  ? 'by the integer solver'
                  : 'of the best, for its futures'
                : `${usd(sure)} for all futures, at 95%`,
            ),
          ]
        : [],
    );
  }

  function paintWhat(p: PlanDoc): void {
    const sign = p.offers.filter((o) => o.accelerators > 0).length;
    setText(what.count, `${num(sign)} of ${num(p.offers.length)} to sign`);
    renderIfChanged(what.body, [p.offers, p.lapsing], () => [
      table(
        'plan-offers',
        [
          ['Offer', ''],
          ['Decision', ''],
          [
            'Accelerators',
            'num',
            'from which month; “if so”: what would be taken just below the price',
          ],
          ['Sign by', 'num'],
          ['Asks, /h', 'num'],
          ['Walk away at', 'num', 'above it the plan is as good without'],
          ['Worth', 'num', 'what the plan loses without it'],
          ['Flips with', '', 'the mildest single change of terms that turns the decision'],
        ],
        offerRows(p),
      ),
      p.offers.length > kMostOffers &&
        h(
          'p',
          { class: 'faint' },
          `and ${num(p.offers.length - kMostOffers)} more in the plan’s JSON`,
        ),
      p.lapsing.length > 0 &&
        h(
          'p',
          null,
          h('b', null, 'Let lapse: '),
          `${p.lapsing.join(', ')}: not renewed when they end.`,
        ),
    ]);
  }

  function paintLadders(p: PlanDoc): void {
    const first = monthOf(p.start);
    const shown = p.ladders.slice(0, kMostLadders);
    setHidden(ladder.el, shown.length === 0);
    setText(
      ladder.count,
      p.ladders.length > shown.length
        ? `${num(shown.length)} of ${num(p.ladders.length)} groups`
        : '',
    );
    if (charts.length !== shown.length) {
      for (const c of charts) c.destroy();
      charts = shown.map((l) =>
        monthChart({ label: l.title, height: 230, format: (v) => num(Math.round(v)) }),
      );
      ladders.replaceChildren(
        ...charts.map((c) => h('div', null, h('h3', { class: 'ladder-title' }), c.el)),
      );
    }
    ladders.querySelectorAll('.ladder-title').forEach((t, i) => setText(t, shown[i]!.title));
    shown.forEach((l, i) =>
      charts[i]!.set({
        series: ladderSeries(l),
        xLabel: (x) => monthText(first + Math.floor(x)),
        xSplits: monthSplits(p.months),
      }),
    );
  }

  function paintCosts(p: PlanDoc): void {
    setHidden(cost.el, p.unseen_futures.length === 0);
    const series = costSeries(p.unseen_futures);
    setHidden(costChart.el, series.length === 0);
    const n = Math.max(2, ...series.map((s) => s.values.length)) - 1;
    costChart.set({
      series,
      xLabel: (x) => `${Math.round((100 * x) / n)}%`,
      xSplits: [0, 0.25, 0.5, 0.75, 1].map((s) => s * n),
    });
    setText(cost.count, 'in unseen futures: this share of them costs less');
    setHidden(against.el, p.unseen_futures.length === 0);
    renderIfChanged(against.body, p.unseen_futures, () => [
      table(
        'rivals',
        [
          ['Way to plan', ''],
          ['Mean', 'num'],
          [`Worst ${percent(p.tail)}`, 'num'],
          ['Committed', 'num'],
          ['On demand', 'num'],
          ['Spot', 'num'],
          ['Not done', 'num', 'value of work that is not done'],
          ['Research missed', 'num'],
          ['Product missed', 'num'],
          ['What it is', ''],
        ],
        p.unseen_futures.map((r) =>
          h(
            'tr',
            { 'data-best': r.name === 'plan' ? '' : null },
            h('td', null, r.name === 'plan' ? h('b', null, 'this plan') : r.name),
            cell(usd(r.mean_microusd)),
            cell(usd(r.cvar_microusd)),
            cell(usd(r.committed_microusd)),
            cell(usd(r.on_demand_microusd)),
            cell(usd(r.spot_microusd)),
            cell(usd(r.not_done_microusd)),
            cell(percent(r.research_missed, 1)),
            cell(percent(r.product_missed, 1)),
            h('td', { class: 'terms' }, r.what),
          ),
        ),
      ),
    ]);
  }

  function paintShortage(p: PlanDoc): void {
    const by = p.unseen_futures[0]?.by_month;
    setHidden(shortage.el, !by);
    if (!by) return;
    const share = (name: string) =>
      (by[name] ?? []).map((m) => (m.asked > 0 ? (100 * m.missed) / m.asked : 0));
    const first = monthOf(p.start);
    shortChart.set({
      series: [
        { label: 'research', color: '--research', values: share('research'), width: 2 },
        { label: 'product', color: '--product', values: share('product'), width: 2 },
      ],
      xLabel: (x) => monthText(first + Math.floor(x)),
      xSplits: monthSplits(p.months),
    });
    setText(shortNote, 'Share of the work asked for that is not done, expected.');
  }

  function paintDepends(p: PlanDoc): void {
    const whole = p.committed_by_provider.reduce((s, x) => s + x.microusd, 0);
    setHidden(shares.el, whole <= 0);
    renderIfChanged(shares.body, p.committed_by_provider, () => [
      bars(
        p.committed_by_provider.map((x) => ({
          name: x.provider,
          value: x.microusd,
          text: `${usd(x.microusd)} · ${percent(x.microusd / Math.max(1, whole))}`,
        })),
        'Committed spend by provider',
      ),
    ]);
    const bets = p.bets.filter((b) => b.explains >= 0.005).slice(0, kMostBars);
    setHidden(sense.el, bets.length === 0);
    renderIfChanged(sense.body, bets, () => [
      h(
        'p',
        { class: 'faint' },
        'Share of the variance of cost that goes with each; what one standard deviation more costs.',
      ),
      bars(
        bets.map((b) => ({
          name: b.what,
          value: b.explains,
          text: `${percent(b.explains)} · ${usd(b.one_sd_microusd)}`,
          color: '--s3',
        })),
        'Sensitivity',
      ),
    ]);
    setHidden(stress.el, p.stress.length === 0);
    renderIfChanged(stress.body, p.stress, () => [
      table(
        'stress',
        [
          ['If', ''],
          ['Mean cost', 'num'],
          ['Research missed', 'num'],
          ['Product missed', 'num'],
          ['Dearer than knowing', 'num', 'than a plan that had known'],
        ],
        p.stress.map((s) =>
          h(
            'tr',
            null,
            h('td', null, s.what),
            cell(usd(s.mean_microusd)),
            cell(percent(s.research_missed, 1)),
            cell(percent(s.product_missed, 1)),
            cell(usd(s.regret_microusd)),
          ),
        ),
      ),
    ]);
    setHidden(notes.el, p.notes.length + p.limits.length === 0);
    renderIfChanged(notes.body, [p.notes, p.limits, p.risk], () => [
      h(
        'ul',
        { class: 'notes' },
        ...p.limits.map((l) =>
          h(
            'li',
            null,
            `${l.what}: one percent more would save ${usd(l.one_percent_saves_microusd)}`,
          ),
        ),
        ...p.notes.map((n) => h('li', null, n)),
      ),
    ]);
  }

  return fetchedPage(store, {
    id: 'plan',
    title: 'Plan',
    every_s: kEvery_s,
    fetch: () => get<HeldPlan>('/api/v1/plan'),
    paint: (held) => {
      paintHead(held);
      paintWhat(held.plan);
      paintLadders(held.plan);
      paintCosts(held.plan);
      paintShortage(held.plan);
      paintDepends(held.plan);
    },
    nothing: empty('The lab holds no plan yet. Make one and send it.', kCommands.plan),
    body: [
      head,
      what.el,
      ladder.el,
      h('div', { class: 'page-columns' }, cost.el, shortage.el),
      against.el,
      h('div', { class: 'page-columns' }, shares.el, sense.el),
      stress.el,
      notes.el,
    ],
  });
}
