// Plots on uPlot: what all of them share, the last ten minutes of a service, and a loss curve.
import uPlot from 'uplot';
import { h, setAttr } from './dom';
import { loss as formatLoss, num, short } from './format';
import { kHistory_s } from './store';
import { color, onTheme } from './theme';
import type { CurvePoint } from './wire';

export const kFont = '11px Inter, system-ui, sans-serif';

export interface Frame {
  el: HTMLElement;
  plot: () => uPlot | null;
  /** Builds it anew, for what uPlot takes only at the start. */
  remake: () => void;
  destroy: () => void;
}

// Makes the plot once its box has a width, follows the box, repaints on a change of theme.
export function frame(cls: string, height: number, make: (width: number) => uPlot): Frame {
  const el = h('div', { class: `plot ${cls}`, role: 'img' });
  let plot: uPlot | null = null;
  const observer = new ResizeObserver(() => {
    const width = Math.floor(el.clientWidth);
    if (width < 40) return;
    if (!plot) {
      plot = make(width);
      el.append(plot.root);
    } else if (plot.width !== width) {
      plot.setSize({ width, height });
    }
  });
  observer.observe(el);
  const offTheme = onTheme(() => plot?.redraw(false, true));
  return {
    el,
    plot: () => plot,
    remake: () => {
      if (!plot) return;
      const width = plot.width;
      plot.destroy();
      plot = make(width);
      el.append(plot.root);
    },
    destroy: () => {
      observer.disconnect();
      offTheme();
      plot?.destroy();
    },
  };
}

export function axes(x: Partial<uPlot.Axis>, yValue: (v: number) => string): uPlot.Axis[] {
  const base = {
    stroke: () => color('--ink-3'),
    font: kFont,
    ticks: { show: false },
    grid: { stroke: () => color('--grid'), width: 1 },
  };
  return [
    { ...base, size: 18, gap: 2, space: 60, grid: { show: false }, ...x },
    { ...base, size: 46, gap: 5, space: 26, values: (_u, vs) => vs.map(yValue) },
  ];
}

// ---- the last ten minutes ----

export interface TimeSeries {
  label: string;
  color: string;
  fill?: string;
  dash?: number[];
  step?: boolean;
}

export interface TimePlot extends Frame {
  /** data: seconds, then one column per series; limit: a level to draw as the SLO. */
  set(data: (number | null)[][], now_s: number, limit?: number): void;
}

export function timePlot(options: {
  label: string;
  series: TimeSeries[];
  format: (v: number) => string;
  /** The y axis shows at least this much. */
  least: number;
}): TimePlot {
  const kHeight = 96;
  let now = 0;
  let limit: number | undefined;
  let data: uPlot.AlignedData = [[], ...options.series.map(() => [])];
  const readout = h('div', { class: 'plot-readout', 'aria-hidden': 'true' });

  // the x axis counts back from now
  const splits = () => [8, 6, 4, 2, 0].map((minutes) => now - minutes * 60);
  const values = () => ['-8m', '-6m', '-4m', '-2m', 'now'];

  const drawLimit = (u: uPlot) => {
    if (limit === undefined) return;
    const y = Math.round(u.valToPos(limit, 'y', true)) + 0.5;
    const { ctx, bbox } = u;
    ctx.save();
    ctx.strokeStyle = color('--bad');
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([4 * devicePixelRatio, 3 * devicePixelRatio]);
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
    ctx.fillStyle = color('--bad-ink');
    ctx.font = `${10 * devicePixelRatio}px Inter, system-ui, sans-serif`;
    ctx.textAlign = 'left';
    ctx.textBaseline = 'bottom';
    ctx.fillText('SLO', bbox.left + 3 * devicePixelRatio, y - 1);
    ctx.restore();
  };

  const f = frame(
    'plot-time',
    kHeight,
    (width) =>
      new uPlot(
        {
          width,
          height: kHeight,
          padding: [8, 14, 0, 0],
          legend: { show: false },
          cursor: {
            y: false,
            points: { size: 5 },
            drag: { x: false, y: false },
            sync: { key: 'ten-minutes' },
          },
          scales: {
            x: { time: false, range: () => [now - kHistory_s, now] },
            y: {
              range: (_u, _min, max) => {
                const top = Math.max(max || 0, limit ?? 0, options.least) * 1.15;
                return [0, top];
              },
            },
          },
          axes: axes({ splits, values }, (v) => (v === 0 ? '0' : options.format(v))),
          series: [
            {},
            ...options.series.map((s): uPlot.Series => {
              const series: uPlot.Series = {
                label: s.label,
                stroke: () => color(s.color),
                width: 1.5,
                points: { show: false },
              };
              if (s.fill) series.fill = () => color(s.fill!);
              if (s.dash) series.dash = s.dash;
              if (s.step) series.paths = uPlot.paths.stepped!({ align: 1 });
              return series;
            }),
          ],
          hooks: {
            draw: [drawLimit],
            setCursor: [
              (u) => {
                const i = u.cursor.idx;
                const at = i === null || i === undefined ? undefined : u.data[0][i];
                if (at === undefined || (u.cursor.left ?? -1) < 0) {
                  readout.textContent = '';
                  return;
                }
                const values = options.series.map((s, k) => {
                  const v = u.data[k + 1]?.[i!];
                  return `${s.label} ${typeof v === 'number' ? options.format(v) : '–'}`;
                });
                readout.textContent = `${Math.round(now - at)} s ago: ${values.join(', ')}`;
              },
            ],
          },
        },
        data,
      ),
  );
  f.el.append(readout);
  return {
    ...f,
    set(columns, now_s, slo) {
      now = now_s;
      limit = slo;
      data = columns as uPlot.AlignedData;
      f.plot()?.setData(data);
      const newest = columns
        .slice(1)
        .map((c, i) => {
          const v = c[c.length - 1];
          return `${options.series[i]!.label} ${typeof v === 'number' ? options.format(v) : 'no sample'}`;
        })
        .join(', ');
      const slos = slo === undefined ? '' : `, SLO ${options.format(slo)}`;
      setAttr(f.el, 'aria-label', `${options.label}, last ten minutes. Now: ${newest}${slos}`);
    },
  };
}

// ---- loss curves ----

export interface LossPlot extends Frame {
  set(points: CurvePoint[]): void;
  setLogX(on: boolean): void;
}

/** Where the number of slots changed: the mark's step and what it says. */
export function slotChanges(points: CurvePoint[]): { step: number; text: string; less: boolean }[] {
  const out = [];
  for (let i = 1; i < points.length; ++i) {
    const from = points[i - 1]!.slots;
    const to = points[i]!.slots;
    if (from === to) continue;
    const text = to === 0 ? 'paused' : from === 0 ? `resumed, ${to}` : `${from}→${to}`;
    out.push({ step: points[i]!.step, text, less: to < from });
  }
  return out;
}

export function lossPlot(height: number): LossPlot {
  let points: CurvePoint[] = [];
  let logX = false;
  const readout = h('div', { class: 'plot-readout', 'aria-hidden': 'true' });

  const columns = (): uPlot.AlignedData => [
    points.map((p) => Math.max(p.step, logX ? 1 : 0)),
    points.map((p) => p.loss),
    points.map((p) => p.heldout_loss ?? null),
  ];

  const drawMarks = (u: uPlot) => {
    const { ctx, bbox } = u;
    const px = devicePixelRatio;
    ctx.save();
    ctx.lineWidth = px;
    ctx.font = `500 ${10.5 * px}px Inter, system-ui, sans-serif`;
    ctx.textBaseline = 'top';
    ctx.textAlign = 'left';
    let free = -Infinity;
    for (const mark of slotChanges(points)) {
      const x = Math.round(u.valToPos(Math.max(mark.step, logX ? 1 : 0), 'x', true)) + 0.5;
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.strokeStyle = color(mark.less ? '--loan' : '--research');
      ctx.setLineDash([2 * px, 3 * px]);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      if (x < free) continue; // its word would cover the one before
      ctx.fillStyle = color(mark.less ? '--loan-ink' : '--research-ink');
      const width = ctx.measureText(mark.text).width;
      const left = x + 4 * px + width > bbox.left + bbox.width;
      ctx.fillText(mark.text, left ? x - 4 * px - width : x + 4 * px, bbox.top + px);
      free = x + width + 8 * px;
    }
    ctx.restore();
  };

  const make = (width: number) =>
    new uPlot(
      {
        width,
        height,
        padding: [8, 12, 0, 0],
        legend: { show: false },
        cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false } },
        scales: {
          x: logX ? { time: false, distr: 3 } : { time: false },
          y: {
            range: (_u, min, max) => {
              if (!Number.isFinite(min) || !Number.isFinite(max)) return [0, 1];
              const room = Math.max((max - min) * 0.08, 0.02);
              return [Math.max(0, min - room), max + room];
            },
          },
        },
        axes: axes(
          { values: (_u, splits) => splits.map((s) => (s === null ? '' : short(s))) },
          num,
        ),
        series: [
          {},
          {
            label: 'train',
            stroke: () => color('--line-1'),
            width: 1.5,
            points: { show: false },
          },
          {
            label: 'held-out',
            stroke: () => color('--line-2'),
            width: 1.5,
            spanGaps: true,
            points: {
              show: true,
              size: 5,
              fill: () => color('--line-2'),
              stroke: () => color('--line-2'),
            },
          },
        ],
        hooks: {
          draw: [drawMarks],
          setCursor: [
            (u) => {
              const p = typeof u.cursor.idx === 'number' ? points[u.cursor.idx] : undefined;
              if (!p || (u.cursor.left ?? -1) < 0) {
                readout.textContent = '';
                return;
              }
              readout.textContent =
                `step ${num(p.step)}: train ${formatLoss(p.loss)}` +
                (p.heldout_loss === undefined ? '' : `, held-out ${formatLoss(p.heldout_loss)}`) +
                `, ${short(p.tokens_per_s)} tokens/s on ${num(p.slots)} slots`;
            },
          ],
        },
      },
      columns(),
    );

  const f = frame('plot-loss', height, make);
  f.el.append(readout);
  return {
    ...f,
    set(next) {
      points = next;
      f.plot()?.setData(columns());
      const last = points[points.length - 1];
      const held = points.filter((p) => p.heldout_loss !== undefined).pop();
      setAttr(
        f.el,
        'aria-label',
        last
          ? `Loss curve to step ${last.step}: train ${formatLoss(last.loss)}` +
              (held ? `, held-out ${formatLoss(held.heldout_loss)}` : '') +
              slotChanges(points)
                .map((m) => `; at step ${m.step}: ${m.text} slots`)
                .join('')
          : 'Loss curve: no points yet',
      );
    },
    setLogX(on) {
      if (logX === on) return;
      logX = on;
      f.remake();
    },
  };
}
