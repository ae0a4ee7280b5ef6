// Services: what arrives against what can be served, latencies against the SLO, replicas and
// rollouts.
import { kCommands } from './commands';
import { createEngine } from './engine';
import { empty, h, panel, renderIfChanged, Rows, setAttr, setHidden, setText } from './dom';
import { ms, num, plural } from './format';
import { link } from './links';
import { timePlot, type TimePlot } from './plot';
import { Col, kHistory_s, type Store } from './store';
import type { LabView, Rollout, ServiceView } from './wire';

function figure(label: string): {
  el: HTMLElement;
  value: HTMLElement;
  note: HTMLElement;
} {
  const value = h('span', { class: 'fig-value' }, '–');
  const note = h('span', { class: 'fig-note' });
  return {
    el: h('div', { class: 'fig' }, h('span', { class: 'fig-label' }, label), value, note),
    value,
    note,
  };
}

function card(store: Store, name: string) {
  const head = h('div', { class: 'svc-head' });
  const rollout = h('div', { class: 'rollout', hidden: true });
  const reason = h('p', { class: 'svc-reason' });

  const traffic = figure('Arrivals');
  const queue = figure('Waiting');
  const ttft = figure('TTFT');
  const tpot = figure('TPOT');
  const plots: TimePlot[] = [
    timePlot({
      label: 'Requests per second',
      series: [
        { label: 'arrivals', color: '--line-1', fill: '--line-1-fill' },
        { label: 'capacity', color: '--product', dash: [5, 3], step: true },
      ],
      format: num,
      least: 1,
    }),
    timePlot({
      label: 'Requests waiting and refused',
      series: [
        { label: 'waiting', color: '--line-1', fill: '--line-1-fill' },
        { label: 'refused/s', color: '--bad' },
      ],
      format: num,
      least: 4,
    }),
    timePlot({
      label: 'Time to first token',
      series: [{ label: 'TTFT', color: '--line-1', fill: '--line-1-fill' }],
      format: ms,
      least: 1,
    }),
    timePlot({
      label: 'Time per output token',
      series: [{ label: 'TPOT', color: '--line-1', fill: '--line-1-fill' }],
      format: ms,
      least: 1,
    }),
  ];
  const engine = createEngine(name);
  const el = h(
    'article',
    { class: 'svc' },
    head,
    rollout,
    h(
      'div',
      { class: 'svc-plots' },
      ...[traffic, queue, ttft, tpot].map((f, i) =>
        h('div', { class: 'svc-plot' }, f.el, plots[i]!.el),
      ),
    ),
    engine.el,
    reason,
  );

  let s: ServiceView;
  let moving: Rollout | undefined;

  function paintHead(): void {
    const { service } = s;
    const state = {
      id: service.id,
      name: service.spec.name,
      version: service.version,
      own: s.own_version,
      met: s.traffic.slo_met,
      shed: service.shed_above_tier,
      phase: service.phase,
      replicas: [s.ready, s.starting, s.draining, s.wanted],
      bounds: [service.spec.min_replicas, service.spec.max_replicas],
    };
    renderIfChanged(head, state, () => {
      const dots = h('span', { class: 'replicas', 'aria-hidden': 'true' });
      const shown = (n: number) => Math.min(n, 24);
      for (let i = 0; i < shown(s.ready); ++i) dots.append(h('i', { class: 'r-ready' }));
      for (let i = 0; i < shown(s.starting); ++i) dots.append(h('i', { class: 'r-starting' }));
      for (let i = 0; i < shown(s.draining); ++i) dots.append(h('i', { class: 'r-draining' }));
      const words = [
        `${num(s.ready)} ready`,
        s.starting && `${num(s.starting)} starting`,
        s.draining && `${num(s.draining)} draining`,
        s.wanted !== s.ready + s.starting && `${num(s.wanted)} wanted`,
      ].filter(Boolean);
      return [
        h('h3', null, link('services/' + service.id, service.spec.name)),
        service.version
          ? link('models/' + service.version, service.version, 'chip mono')
          : h('span', { class: 'chip' }, 'own command'),
        s.own_version &&
          service.version !== s.own_version &&
          h('span', { class: 'badge warn' }, `surge: a variant of ${s.own_version}`),
        service.phase !== 'active' && h('span', { class: 'badge warn' }, service.phase),
        h(
          'span',
          { class: 'svc-replicas' },
          dots,
          `${words.join(', ')} · ${num(service.spec.min_replicas)} to ${plural(service.spec.max_replicas, 'replica')}`,
        ),
        service.shed_above_tier > 0 &&
          h('span', { class: 'badge bad' }, `refusing tiers above ${service.shed_above_tier}`),
        h(
          'span',
          { class: s.traffic.slo_met ? 'badge good' : 'badge bad' },
          s.traffic.slo_met ? 'SLO met' : 'SLO missed',
        ),
      ];
    });
  }

  function paintPlots(now_us: number): void {
    const ring = store.historyOf(s.service.id);
    if (!ring) return;
    const now = now_us / 1e6;
    const from = now - kHistory_s - 5;
    const at = ring.column(Col.kAt, from);
    const columns = (...cols: Col[]) => {
      const out = [at.slice(), ...cols.map((c) => ring.column(c, from))];
      // no news means that nothing changed: the newest value holds until now
      if (store.connection.state === 'live' && at.length) {
        out[0]!.push(Math.max(now, at[at.length - 1]! + 0.001));
        out.slice(1).forEach((c) => c.push(c[c.length - 1] ?? null));
      }
      return out;
    };
    const { slo } = s.service.spec;
    plots[0]!.set(columns(Col.kArrivals, Col.kCapacity), now);
    plots[1]!.set(columns(Col.kQueued, Col.kRefused), now);
    plots[2]!.set(columns(Col.kTtft), now, slo.ttft_ms);
    plots[3]!.set(columns(Col.kTpot), now, slo.tpot_ms);
  }

  return {
    el,
    update({ view, service }: { view: LabView; service: ServiceView }) {
      s = service;
      moving = view.rollouts.find(
        (r) =>
          r.phase === 'running' &&
          (r.id === s.service.rollout || r.service === s.service.spec.name),
      );
      setAttr(el, 'data-service', s.service.spec.name);
      paintHead();
      setHidden(rollout, !moving);
      if (moving) {
        const r = moving;
        const all = Math.max(1, s.ready + s.starting, r.moved);
        renderIfChanged(rollout, [r, all], () => [
          h('span', null, `Rolling out ${r.from || 'nothing'} → ${r.to}`),
          h('progress', { max: all, value: r.moved, 'aria-label': 'replicas moved' }),
          h('span', { class: 'num' }, `${r.moved} of ${all} moved`),
          r.failures > 0 && h('span', { class: 'badge bad' }, `${r.failures} failed`),
        ]);
      }
      const t = s.traffic;
      const { slo } = s.service.spec;
      setText(traffic.value, `${num(t.arrivals_per_s)}/s`);
      setText(traffic.note, `of ${num(t.capacity_per_s)}/s capacity`);
      setText(queue.value, num(t.queued));
      const refused = t.refused_per_s > 0.005 ? `${num(t.refused_per_s)}/s refused` : '';
      const errors = t.errors_per_s > 0.005 ? `${num(t.errors_per_s)}/s errors` : '';
      setText(queue.note, [refused, errors].filter(Boolean).join(', ') || 'none refused');
      setAttr(queue.note, 'data-bad', refused || errors ? '' : null);
      const latency = (f: ReturnType<typeof figure>, value: number, limit: number) => {
        setText(f.value, ms(value));
        setText(f.note, `p${slo.percentile}, SLO ${ms(limit)}`);
        setAttr(f.value, 'data-bad', value > limit ? '' : null);
      };
      latency(ttft, t.ttft_ms, slo.ttft_ms);
      latency(tpot, t.tpot_ms, slo.tpot_ms);
      setText(reason, s.service.reason);
      setHidden(reason, !s.service.reason);
    },
    tick: (now_us: number) => paintPlots(now_us),
    destroy: () => {
      plots.forEach((p) => p.destroy());
      engine.destroy();
    },
  };
}

export function createServices(store: Store) {
  const { el, body, count } = panel('Services', 'services');
  const none = empty(
    'No service is deployed. The first story deploys one once a checkpoint passes the gate.',
    kCommands.service,
  );
  const list = h('div', { class: 'svc-list' });
  body.append(none, list);
  const cards = new Map<string, ReturnType<typeof card>>();
  const rows = new Rows<{ view: LabView; service: ServiceView }>(
    list,
    (x) => x.service.service.id,
    (x) => {
      const c = card(store, x.service.service.spec.name);
      const id = x.service.service.id;
      cards.set(id, c);
      return {
        el: c.el,
        update: c.update,
        destroy: () => {
          c.destroy();
          cards.delete(id);
        },
      };
    },
  );
  return {
    el,
    update(view: LabView) {
      setHidden(none, view.services.length > 0);
      setText(count, view.services.length ? String(view.services.length) : '');
      rows.set(view.services.map((service) => ({ view, service })));
    },
    tick(now_us: number) {
      for (const c of cards.values()) c.tick(now_us);
    },
  };
}
