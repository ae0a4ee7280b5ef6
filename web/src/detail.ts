// The drawer: one job, service, loan, version or dataset; why it is as it is, and its history.
import { ApiError, get } from './api';
import type { Curves } from './curves';
import { h, renderIfChanged, setHidden, setText, type Child } from './dom';
import { bytes, clock, dateTime, loss, ms, num, plural, short, slotTime, span } from './format';
import { phaseBadge } from './jobs';
import { recordLine } from './journal';
import { link, parseAddress, type DetailKind } from './links';
import { costNow, partLine, slotsOf } from './loans';
import { lossPlot, type LossPlot } from './plot';
import type { Store } from './store';
import type { LabView, ModelVersion, WhyView } from './wire';

const kWhyEvery_ms = 2000;
const kWord: Record<DetailKind, string> = {
  jobs: 'job',
  services: 'service',
  loans: 'loan',
  models: 'version',
  datasets: 'dataset',
};

type Fact = [string, Child | Child[]];

export function createDetail(store: Store, curves: Curves) {
  const title = h('h2', { id: 'detail-title', tabindex: '-1' });
  const kindWord = h('span', { class: 'detail-kind' });
  const close = h('button', { type: 'button', class: 'quiet', 'aria-label': 'Close' }, 'Close');
  const now = h('p', { class: 'detail-now' });
  const why = h('div', { class: 'detail-why' });
  const facts = h('dl', { class: 'facts' });
  const extra = h('div', { class: 'detail-extra' });
  const curve = h('div', { class: 'detail-curve', hidden: true });
  const past = h('ol', { class: 'records' });
  const historyBox = h('section', { hidden: true }, h('h3', null, 'History'), past);
  const el = h(
    'aside',
    { class: 'detail', role: 'dialog', 'aria-labelledby': 'detail-title', hidden: true },
    h('div', { class: 'detail-head' }, h('div', null, kindWord, title), close),
    h('div', { class: 'detail-body' }, now, why, facts, curve, extra, historyBox),
  );

  let shown: { kind: DetailKind; id: string } | null = null;
  let whyView: WhyView | null = null;
  let whyError = '';
  let whySeq = -1;
  let whyAsked = -Infinity;
  let whyBusy = false;
  let plot: LossPlot | null = null;
  let back: HTMLElement | null = null;

  const leave = () => {
    window.history.pushState(null, '', location.pathname + location.search);
    hide();
  };
  close.addEventListener('click', leave);
  document.addEventListener('keydown', (e) => {
    if (e.key === 'Escape' && shown && !e.defaultPrevented) leave();
  });

  function hide(): void {
    shown = null;
    setHidden(el, true);
    document.body.classList.remove('has-detail');
    plot?.destroy();
    plot = null;
    curve.replaceChildren();
    if (back?.isConnected) back.focus();
    back = null;
  }

  function follow(): void {
    const next = parseAddress(location.hash);
    if (!next) {
      if (shown) hide();
      return;
    }
    if (shown?.kind === next.kind && shown.id === next.id) return;
    if (!shown) back = document.activeElement as HTMLElement | null;
    shown = next;
    whyView = null;
    whyError = '';
    whySeq = -1;
    whyAsked = -Infinity;
    plot?.destroy();
    plot = null;
    curve.replaceChildren();
    delete past.dataset['shows'];
    setHidden(el, false);
    document.body.classList.add('has-detail');
    if (store.view) update(store.view);
    el.querySelector('.detail-body')!.scrollTop = 0;
    title.focus();
  }
  window.addEventListener('hashchange', follow);

  async function askWhy(view: LabView): Promise<void> {
    if (!shown || shown.kind === 'models' || shown.kind === 'datasets' || whyBusy) return;
    if (whySeq === view.journal_seq || performance.now() - whyAsked < kWhyEvery_ms) return;
    const mine = shown;
    whyBusy = true;
    whyAsked = performance.now();
    const seq = view.journal_seq;
    try {
      const answer = await get<WhyView>(`/api/v1/${mine.kind}/${encodeURIComponent(mine.id)}/why`);
      if (shown === mine) {
        whyView = answer;
        whyError = '';
        whySeq = seq;
      }
    } catch (error) {
      if (shown === mine) whyError = error instanceof ApiError ? error.message : '';
    } finally {
      whyBusy = false;
    }
    if (store.view && shown) paintWhy(store.view);
  }

  function paintWhy(view: LabView): void {
    setHidden(now, !whyView?.now && !whyError);
    setText(now, whyError || (whyView?.now ?? ''));
    const w = whyView;
    renderIfChanged(why, w && [w.blockers, w.expected_wait_s, w.could_change], () => {
      if (!w) return [];
      return [
        w.blockers.length > 0 &&
          h(
            'ul',
            { class: 'blockers', 'aria-label': 'What it waits for' },
            ...w.blockers.map((b) =>
              h(
                'li',
                null,
                h('span', { class: 'chip' }, b.kind),
                h(
                  'div',
                  null,
                  h('p', null, b.text),
                  b.remedy && h('p', { class: 'faint' }, b.remedy),
                ),
              ),
            ),
          ),
        w.expected_wait_s !== undefined &&
          h('p', null, 'Expected to start in ', h('b', null, span(w.expected_wait_s)), '.'),
        w.could_change && h('p', { class: 'faint' }, w.could_change),
      ];
    });
    const records = (w?.history ?? []).slice(-100);
    setHidden(historyBox, records.length === 0);
    renderIfChanged(
      past,
      records.map((r) => r.seq),
      () => records.reverse().map((r) => recordLine(view, r)),
    );
  }

  function paintFacts(rows: Fact[]): void {
    facts.replaceChildren(
      ...rows
        .filter(([, v]) => v !== '' && v !== null && v !== undefined)
        .map(([k, v]) =>
          h('div', null, h('dt', null, k), h('dd', null, ...(Array.isArray(v) ? v : [v]))),
        ),
    );
  }

  // Facts change with every view; building them again must not take a link from under the focus.
  function setFacts(rows: Fact[]): void {
    const key = facts.contains(document.activeElement)
      ? document.activeElement?.getAttribute('data-key')
      : null;
    paintFacts(rows);
    if (key) facts.querySelector<HTMLElement>(`[data-key="${CSS.escape(key)}"]`)?.focus();
  }

  function job(view: LabView, id: string): boolean {
    const j = view.jobs.find((x) => x.id === id);
    if (!j) return false;
    setText(title, j.spec.name);
    const p = j.progress;
    setFacts([
      ['Phase', phaseBadge(j.phase)],
      ['Reason', j.reason],
      ['Id', h('span', { class: 'mono' }, j.id)],
      ['Team', j.spec.team],
      ['Submitted', `${dateTime(j.submitted_us)} by ${j.submitted_by || 'weir'}`],
      ['Slots', `${num(j.slots)} now, ${num(j.spec.min_slots)} to ${num(j.spec.max_slots)} wanted`],
      ['Step', p ? `${num(p.step)}${p.steps ? ` of ${num(p.steps)}` : ''}` : ''],
      [
        'Loss',
        p?.loss === undefined ? '' : `${loss(p.loss)} train, ${loss(p.heldout_loss)} held-out`,
      ],
      ['Speed', p?.tokens_per_s === undefined ? '' : `${short(p.tokens_per_s)} tokens/s`],
      ['MFU', p?.mfu === undefined ? '' : `${(p.mfu * 100).toFixed(0)}% of this machine's peak`],
      ['Time left', j.phase === 'running' && p?.eta_s !== undefined ? span(p.eta_s) : ''],
      [
        'Checkpoint',
        j.checkpoint
          ? `step ${num(j.checkpoint.step)}, ${span((store.now_us() - j.checkpoint.at_us) / 1e6)} ago`
          : j.spec.checkpointable
            ? 'none yet'
            : 'cannot be saved',
      ],
      ['Runs', `${num(j.attempts)}, ${num(j.failures)} failed`],
      ['Used', j.slot_s > 0 ? slotTime(j.slot_s) : ''],
      [
        'Lost to stops',
        j.lost_slot_s > 0 || j.lost_steps > 0
          ? `${slotTime(j.lost_slot_s)}, ${plural(j.lost_steps, 'step')}`
          : '',
      ],
      ['Exit code', j.exit_code === undefined ? '' : String(j.exit_code)],
      ['Command', h('code', { class: 'wrap' }, j.spec.command.join(' '))],
    ]);
    const hasCurve = p?.loss !== undefined;
    setHidden(curve, !hasCurve);
    if (hasCurve) {
      if (!plot) {
        plot = lossPlot(200);
        curve.append(plot.el);
      }
      plot.set(curves.of(j, () => store.view && update(store.view)));
    }
    const lines = j.last_lines;
    renderIfChanged(extra, ['job', lines], () =>
      lines.length
        ? [h('h3', null, 'Last lines'), h('pre', { tabindex: '0' }, lines.join('\n'))]
        : [],
    );
    return true;
  }

  function service(view: LabView, id: string): boolean {
    const s = view.services.find((x) => x.service.id === id);
    if (!s) return false;
    const { spec } = s.service;
    setText(title, spec.name);
    setFacts([
      ['Decision', s.service.reason],
      ['Id', h('span', { class: 'mono' }, s.service.id)],
      ['Team', spec.team],
      ['Version', s.service.version ? link('models/' + s.service.version, s.service.version) : ''],
      ['Follows', spec.follow ? 'newer versions as they pass the gate' : ''],
      [
        'Replicas',
        `${num(s.ready)} ready, ${num(s.starting)} starting, ${num(s.draining)} draining`,
      ],
      [
        'Wanted',
        `${num(s.wanted)}, within ${num(spec.min_replicas)} to ${num(spec.max_replicas)}, ` +
          `${plural(spec.slots_per_replica, 'slot')} each`,
      ],
      [
        'Arrivals',
        `${num(s.traffic.arrivals_per_s)}/s, ${num(s.traffic.forecast_per_s)}/s forecast`,
      ],
      ['Served', `${num(s.traffic.completions_per_s)}/s, ${num(s.traffic.tokens_per_s)} tokens/s`],
      ['In flight', `${num(s.traffic.outstanding)} at replicas, ${num(s.traffic.queued)} waiting`],
      [
        'SLO',
        `TTFT ${ms(spec.slo.ttft_ms)}, TPOT ${ms(spec.slo.tpot_ms)}, queue ${ms(spec.slo.queue_ms)} at p${spec.slo.percentile}`,
      ],
      ['Tier', `${num(spec.tier)} (1 is shed last)`],
    ]);
    setHidden(curve, true);
    const leases = view.leases.filter((l) => l.holder === id);
    renderIfChanged(
      extra,
      ['service', leases.map((l) => [l.id, l.phase, l.ready, l.version])],
      () => [
        h('h3', null, 'Replicas'),
        h(
          'table',
          null,
          h(
            'thead',
            null,
            h(
              'tr',
              null,
              ...['Lease', 'Slots', 'Version', 'State'].map((t) => h('th', { scope: 'col' }, t)),
            ),
          ),
          h(
            'tbody',
            null,
            ...leases.map((l) =>
              h(
                'tr',
                null,
                h('td', { class: 'mono' }, l.id),
                h('td', null, l.slots.join(', ')),
                h('td', { class: 'mono' }, l.version || '–'),
                h(
                  'td',
                  null,
                  l.phase === 'active' ? (l.ready ? 'ready' : 'starting') : l.phase,
                  l.loan && ' · ',
                  l.loan && link('loans/' + l.loan, 'on loan'),
                ),
              ),
            ),
          ),
        ),
      ],
    );
    return true;
  }

  function loan(view: LabView, id: string): boolean {
    const l = view.loans.find((x) => x.id === id);
    if (!l) return false;
    const s = view.services.find((x) => x.service.spec.name === l.service);
    setText(title, `${plural(slotsOf(l), 'slot')} to ${l.service}`);
    const at = store.now_us();
    setFacts([
      ['State', l.phase === 'recalled' ? 'recalled, slots are coming back' : l.phase],
      ['Service', s ? link('services/' + s.service.id, l.service) : l.service],
      ['Opened', dateTime(l.opened_us)],
      ['Opened because', l.why],
      [
        'Due',
        dateTime(l.due_us) + (l.phase === 'open' ? `, in ${clock((l.due_us - at) / 1e6)}` : ''),
      ],
      [
        'First served',
        l.first_ready_us ? `after ${span((l.first_ready_us - l.opened_us) / 1e6)}` : 'not yet',
      ],
      ['Recalled', l.recalled_us ? dateTime(l.recalled_us) : ''],
      ['Recalled because', l.recall_why],
      ['Returned', l.returned_us ? dateTime(l.returned_us) : ''],
      ['Cost', `${slotTime(costNow(l, at))}, ${plural(l.cost_steps, 'step')} run again`],
    ]);
    setHidden(curve, true);
    renderIfChanged(extra, ['loan', l.parts], () => [
      h('h3', null, 'Lent by'),
      h('ul', { class: 'parts' }, ...l.parts.map((p) => partLine(view, p))),
    ]);
    return true;
  }

  function model(view: LabView, id: string): boolean {
    const m = view.models.find((x) => x.id === id);
    if (!m) return false;
    setText(title, m.id);
    const job = view.jobs.find((j) => j.id === m.job);
    const data = view.datasets.find((d) => d.sha256 === m.dataset_sha256);
    const hash = (x: string) => (x ? h('span', { class: 'mono' }, x.slice(0, 16)) : '');
    setFacts([
      ['Gate', m.gate],
      ['Held-out loss', loss(m.heldout_loss)],
      [
        'Of uniform',
        m.vocab_size > 1 && m.heldout_loss !== undefined
          ? `${((100 * m.heldout_loss) / Math.log(m.vocab_size)).toFixed(0)}% of ln(${num(m.vocab_size)})`
          : '',
      ],
      ['Step', num(m.step)],
      ['Trained by', m.job ? link('jobs/' + m.job, job?.spec.name ?? m.job) : ''],
      ['Dataset', data ? link('datasets/' + data.id, data.name) : hash(m.dataset_sha256)],
      ['Content', hash(m.sha256)],
      ['Config', hash(m.config_sha256)],
      ['Code', m.code_version],
      ['Created', dateTime(m.created_us)],
      ['Folder', h('code', { class: 'wrap' }, m.path)],
    ]);
    setHidden(curve, true);
    const line: ModelVersion[] = [];
    for (let x: ModelVersion | undefined = m; x && line.length < 50;) {
      line.push(x);
      const parent: string = x.parent;
      x = parent ? view.models.find((y) => y.id === parent) : undefined;
    }
    renderIfChanged(extra, ['model', line.map((x) => x.id)], () => [
      h('h3', null, 'Lineage'),
      h(
        'ol',
        { class: 'lineage' },
        ...line.map((x) =>
          h(
            'li',
            null,
            x === m ? h('b', { class: 'mono' }, x.id) : link('models/' + x.id, x.id, 'mono'),
            h('span', { class: 'faint' }, `step ${num(x.step)}, held-out ${loss(x.heldout_loss)}`),
          ),
        ),
      ),
    ]);
    return true;
  }

  function dataset(view: LabView, id: string): boolean {
    const d = view.datasets.find((x) => x.id === id);
    if (!d) return false;
    setText(title, d.name);
    setFacts([
      ['Id', h('span', { class: 'mono' }, d.id)],
      ['Size', bytes(d.bytes)],
      ['Content', h('span', { class: 'mono wrap' }, d.sha256)],
      ['Created', `${dateTime(d.created_us)} by ${d.created_by || 'weir'}`],
      ['Folder', h('code', { class: 'wrap' }, d.path)],
    ]);
    setHidden(curve, true);
    renderIfChanged(extra, ['dataset', d.report], () => [
      h('h3', null, 'Report'),
      h('pre', { tabindex: '0' }, JSON.stringify(d.report, null, 2)),
    ]);
    return true;
  }

  function update(view: LabView): void {
    if (!shown) return;
    setText(kindWord, kWord[shown.kind]);
    const show = { jobs: job, services: service, loans: loan, models: model, datasets: dataset };
    if (!show[shown.kind](view, shown.id)) {
      setText(title, shown.id);
      setFacts([]);
      setHidden(curve, true);
      renderIfChanged(extra, 'gone', () => [
        h('p', null, `The lab does not show this ${kWord[shown!.kind]} (any more).`),
      ]);
    }
    paintWhy(view);
    void askWhy(view);
  }

  return { el, update, follow };
}
