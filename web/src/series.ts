// What the charts of the market and the plan show, made of what the lab answers. Pure.
import { dayOf } from './format';
import type { ContractLine, LedgerView, PlanLadder } from './wire';

/** Colours of series that mean nothing but themselves: --s0 to --s7. */
export const kSeriesColors = 8;
export interface ChartSeries {
  label: string;
  color: string;
  /** One for each x, or for each month between two of them where the chart has steps. */
  values: number[];
  /** On top of the stacked ones before it, filled. */
  stacked?: boolean;
  /** A value holds for its whole month. */
  step?: boolean;
  dash?: number[];
  width?: number;
}

/** An amount in units of its currency. */
export const inUnits = (micro: number) => micro / 1e6;

const kLongestLine_days = 5 * 366;

export interface Axis {
  from: number;
  to: number;
  ticks: { day: number; text: string }[];
}

/** From a month before today, or the first start, to the last end; at most some five years. */
export function axisOf(lines: ContractLine[], today: string): Axis {
  const now = dayOf(today);
  const starts = lines.flatMap((l) => l.spans.map((s) => dayOf(s.from)));
  const ends = lines.map((l) => dayOf(l.view.end)).filter((d) => d < now + kLongestLine_days);
  const from = Math.max(now - 365, Math.min(now - 30, ...starts));
  const to = Math.max(now + 120, ...ends) + 20;
  const ticks: Axis['ticks'] = [];
  const first = new Date(from * 86_400_000);
  const months = (to - from) / 30.4;
  const step = months > 48 ? 12 : months > 24 ? 6 : months > 9 ? 3 : 1;
  for (let m = first.getUTCFullYear() * 12 + first.getUTCMonth(); ; ++m) {
    const day = Date.UTC(Math.floor(m / 12), m % 12, 1) / 86_400_000;
    if (day > to) break;
    if (day < from || (m % 12) % step !== 0) continue;
    ticks.push({ day, text: `${Math.floor(m / 12)}-${String((m % 12) + 1).padStart(2, '0')}` });
  }
  return { from, to, ticks };
}

export interface TeamSpend {
  team: string;
  seconds: number;
  cost: number;
  by_month: number[];
}

/** Teams by cost, and what was idle last; with costs month by month from `first`. */
export function spendByTeam(l: LedgerView): TeamSpend[] {
  const n = Math.max(1, l.last_month - l.first_month + 1);
  const none = (team: string): TeamSpend => ({
    team,
    seconds: 0,
    cost: 0,
    by_month: Array.from({ length: n }, () => 0),
  });
  const teams = new Map<string, TeamSpend>();
  for (const e of l.ledger.entries) {
    let t = teams.get(e.team);
    if (!t) teams.set(e.team, (t = none(e.team)));
    t.seconds += e.slot_seconds;
    t.cost += inUnits(e.cost_micro);
    t.by_month[e.month - l.first_month]! += inUnits(e.cost_micro);
  }
  const idle = none('idle');
  for (const m of l.ledger.months) {
    idle.cost += inUnits(m.idle_micro);
    idle.seconds += Math.max(0, m.had_seconds - m.used_seconds);
    idle.by_month[m.month - l.first_month]! += inUnits(m.idle_micro);
  }
  return [...[...teams.values()].sort((a, b) => b.cost - a.cost), idle];
}

/** Places of the axis of months that get a label: not more than some eight. */
export function monthSplits(months: number): number[] {
  const step = Math.max(1, Math.ceil(months / 8));
  return Array.from({ length: Math.ceil(months / step) }, (_, i) => i * step);
}

/** A ladder as series: what is committed, in steps on top of each other, and the fan of demand. */
export function ladderSeries(l: PlanLadder): ChartSeries[] {
  const shown = l.steps.slice(0, kSeriesColors - 1);
  const rest = l.steps.slice(kSeriesColors - 1);
  const series = shown.map((s, i): ChartSeries => ({
    label: s.name,
    color: `--s${i}`,
    values: s.work,
    stacked: true,
  }));
  if (rest.length) {
    series.push({
      label: `${rest.length} others`,
      color: `--s${kSeriesColors - 1}`,
      values: l.p50.map((_, t) => rest.reduce((sum, s) => sum + (s.work[t] ?? 0), 0)),
      stacked: true,
    });
  }
  const fan = { color: '--ink', dash: [4, 3], width: 1 };
  return [
    ...series,
    { ...fan, label: 'demand: 1 in 10 is below', values: l.p10 },
    { label: 'demand: the middle', color: '--ink', values: l.p50, width: 2 },
    { ...fan, label: '1 in 10 is above', values: l.p90 },
  ];
}
