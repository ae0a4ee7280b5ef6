// Charts of months and of shares, on uPlot: stacked steps (commitments, spend), lines on top of
// them (demand), a legend, and a readout under the cursor. What they show is in words as well, for
// those who do not see them.
import uPlot from 'uplot';
import { h, setAttr } from './dom';
import { axes, frame, type Frame } from './plot';
import type { ChartSeries } from './series';
import { color } from './theme';

const kLabel_px = 62;

export interface ChartData {
  series: ChartSeries[];
  /** What stands at the place x of the axis, and in the readout. */
  xLabel: (x: number) => string;
  /** Places that get a label. */
  xSplits?: number[];
}

/** `n` values over [0, n]: steps hold from i to i + 1, lines pass through the middle of it. */
function columns(series: ChartSeries[], n: number): (number | null)[][] {
  const x = Array.from({ length: 2 * n + 1 }, (_, i) => i / 2);
  let below: number[] = Array.from({ length: n }, () => 0);
  const ys = series.map((s) => {
    const values = s.stacked ? s.values.map((v, i) => v + below[i]!) : s.values;
    if (s.stacked) below = values;
    return x.map((at, i) => {
      if (s.step || s.stacked) return values[Math.min(n - 1, Math.floor(at))] ?? null;
      return i % 2 === 1 ? (values[(i - 1) / 2] ?? null) : null;
    });
  });
  return [x, ...ys];
}

/** Areas of a colour --s0 are painted in --f0, that lines on top of them are seen. */
function fillOf(s: ChartSeries): string {
  return s.color.replace(/^--s/, '--f');
}

/** As many places as have room for their labels. */
function fitting(splits: number[], width: number): number[] {
  const every = Math.ceil((splits.length * kLabel_px) / Math.max(1, width - 60));
  return splits.filter((_, i) => i % every === 0);
}

/** "$1.50M" is "$1.5M" on an axis. */
function plain(text: string): string {
  return text.replace(/(\.\d*?)0+(?=[kMB%]|$)/, '$1').replace(/\.(?=[kMB%]|$)/, '');
}

export interface Chart extends Frame {
  set(data: ChartData): void;
}

/** Months side by side. `format` writes a value of the y axis. */
export function monthChart(options: {
  label: string;
  height: number;
  format: (v: number) => string;
}): Chart {
  return chart({ ...options, months: true });
}

/** Lines over x = 0..n-1. */
export function lineChart(options: {
  label: string;
  height: number;
  format: (v: number) => string;
}): Chart {
  return chart({ ...options, months: false });
}

function chart(options: {
  label: string;
  height: number;
  format: (v: number) => string;
  months: boolean;
}): Chart {
  let shown: ChartData = { series: [], xLabel: String };
  const readout = h('div', { class: 'plot-readout', 'aria-hidden': 'true' });
  const legend = h('ul', { class: 'legend', 'aria-hidden': 'true' });
  const count = () => Math.max(0, ...shown.series.map((s) => s.values.length));
  const table = (): uPlot.AlignedData => {
    const n = count();
    if (options.months) return columns(shown.series, n) as uPlot.AlignedData;
    const x = Array.from({ length: n }, (_, i) => i);
    return [x, ...shown.series.map((s) => s.values)];
  };
  // Filled areas are painted from the top of the stack down, each over the one above it.
  const order = () => shown.series.map((_, i) => i).sort((a, b) => rank(b) - rank(a));
  const rank = (i: number) => (shown.series[i]!.stacked ? i + 1 : -i);

  const tell = (u: uPlot) => {
    const x =
      u.cursor.left !== undefined && u.cursor.left >= 0 ? u.posToVal(u.cursor.left, 'x') : -1;
    const i = options.months ? Math.floor(x) : Math.round(x);
    if (x < 0 || i < 0 || i >= count()) {
      readout.textContent = '';
      return;
    }
    const said = shown.series
      .filter((s) => (s.values[i] ?? 0) !== 0 || !s.stacked)
      .map((s) => `${s.label} ${options.format(s.values[i] ?? 0)}`);
    readout.textContent = `${shown.xLabel(i)}: ${said.join(', ') || 'nothing'}`;
  };

  const make = (width: number) => {
    const t = table();
    const at = order();
    return new uPlot(
      {
        width,
        height: options.height,
        padding: [8, 14, 0, 0],
        legend: { show: false },
        cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
        scales: {
          x: { time: false, range: () => [0, Math.max(1, options.months ? count() : count() - 1)] },
          y: {
            range: (_u, min, max) => {
              const top = max > 0 ? max * 1.08 : 1;
              // cost curves need not begin at 0; stacks must
              const stacked = shown.series.some((s) => s.stacked || s.step);
              return [stacked || options.months || min < 0 ? Math.min(0, min) : min * 0.96, top];
            },
          },
        },
        axes: axes(
          {
            splits: (u) => fitting(shown.xSplits ?? [], u.width),
            values: (_u, xs) => xs.map((x) => shown.xLabel(x)),
          },
          (v) => (v === 0 ? '' : plain(options.format(v))),
        ),
        series: [
          {},
          ...at.map((i): uPlot.Series => {
            const s = shown.series[i]!;
            const series: uPlot.Series = {
              label: s.label,
              stroke: () => color(s.stacked ? fillOf(s) : s.color),
              width: s.stacked ? 0.5 : (s.width ?? 1.5),
              points: { show: false },
              spanGaps: true,
            };
            if (s.stacked) series.fill = () => color(fillOf(s));
            if (s.dash) series.dash = s.dash;
            if (s.step || s.stacked) series.paths = uPlot.paths.stepped!({ align: 1 });
            return series;
          }),
        ],
        hooks: { setCursor: [tell] },
      },
      [t[0], ...at.map((i) => t[i + 1]!)] as uPlot.AlignedData,
    );
  };

  const f = frame('plot-chart', options.height, make);
  f.el.append(readout);
  const box = h('div', { class: 'chart' }, f.el, legend);
  let was = '';
  return {
    ...f,
    el: box,
    set(data) {
      const now = JSON.stringify([data.series, data.xSplits]);
      if (now === was) return;
      was = now;
      shown = data;
      f.remake();
      legend.replaceChildren(
        ...data.series.map((s) => {
          const swatch = h('i', { class: s.stacked ? 'swatch' : 'swatch line' });
          swatch.style.setProperty('--c', `var(${s.stacked ? fillOf(s) : s.color})`);
          if (s.dash) swatch.classList.add('dashed');
          return h('li', null, swatch, s.label);
        }),
      );
      const n = count();
      const said = data.series.map((s) => {
        const first = s.values[0] ?? 0;
        const last = s.values[s.values.length - 1] ?? 0;
        return `${s.label} from ${options.format(first)} to ${options.format(last)}`;
      });
      setAttr(
        f.el,
        'aria-label',
        n
          ? `${options.label}, ${data.xLabel(0)} to ${data.xLabel(n - 1)}: ${said.join('; ')}`
          : `${options.label}: nothing to show`,
      );
    },
  };
}

/** Bars with a name and a value each, longest in the scale of the largest. */
export function bars(
  items: { name: string; value: number; text: string; color?: string }[],
  label: string,
): HTMLElement {
  const most = Math.max(1e-12, ...items.map((i) => i.value));
  return h(
    'ul',
    { class: 'bars', 'aria-label': label },
    ...items.map((i) => {
      const bar = h('i', { 'aria-hidden': 'true' });
      bar.style.width = `${(100 * Math.max(0, i.value)) / most}%`;
      if (i.color) bar.style.setProperty('--c', `var(${i.color})`);
      return h(
        'li',
        null,
        h('span', { class: 'bar-name' }, i.name),
        h('span', { class: 'bar-track' }, bar),
        h('span', { class: 'bar-value num' }, i.text),
      );
    }),
  );
}
