// Jobs: a table of those that live and the newest that ended, and the loss curve of one.
import { kCommands } from './commands';
import type { Curves } from './curves';
import {
  empty,
  h,
  panel,
  renderIfChanged,
  Rows,
  setAttr,
  setHidden,
  setText,
  setValue,
} from './dom';
import { ago, loss, num, short, span } from './format';
import { link } from './links';
import { lossPlot } from './plot';
import type { Store } from './store';
import type { Job, LabView } from './wire';

const kEndedShown = 5;
const kMostRows = 200;
const kOrder: Record<Job['phase'], number> = {
  running: 0,
  paused: 1,
  queued: 2,
  failed: 3,
  done: 3,
  cancelled: 3,
};
const ended = (j: Job) => kOrder[j.phase] === 3;

/** When a waiting job is expected to start, if that can be told. */
function starts(store: Store, job: string): number | undefined {
  return store.view?.expected_starts?.find((s) => s.job === job)?.at_us;
}

export function phaseBadge(phase: string): HTMLElement {
  return h('span', { class: `phase p-${phase}` }, phase);
}

function row(store: Store) {
  const name = h('td', { class: 'job-name' });
  const phase = h('td');
  const slots = h('td', { class: 'num' });
  const bar = h('progress', { max: 1, value: 0 });
  const step = h('span', { class: 'num' });
  const progress = h('td', { class: 'job-progress' }, bar, step);
  const train = h('td', { class: 'num' });
  const held = h('td', { class: 'num' });
  const speed = h('td', { class: 'num wide' });
  const eta = h('td', { class: 'num' });
  const line = h('tr', null, name, phase, slots, progress, train, held, speed, eta);
  const why = h('td', { colspan: '8' });
  const whyLine = h('tr', { class: 'job-why', hidden: true }, why);
  const el = h('tbody', null, line, whyLine);
  return {
    el,
    update(j: Job) {
      setAttr(el, 'data-job', j.id);
      renderIfChanged(name, [j.id, j.spec.name, j.spec.team], () => [
        link('jobs/' + j.id, j.spec.name),
        h('span', { class: 'faint' }, `${j.spec.team} · ${j.id}`),
      ]);
      renderIfChanged(phase, j.phase, () => [phaseBadge(j.phase)]);
      const { min_slots: least, max_slots: most } = j.spec;
      renderIfChanged(slots, [j.slots, least, most, ended(j)], () => [
        ended(j) ? '' : num(j.slots),
        h(
          'span',
          { class: 'faint' },
          (ended(j) ? '' : ' of ') + (least === most ? num(most) : `${least}–${most}`),
        ),
      ]);
      const p = j.progress;
      const all = p && p.steps > 0 ? p.steps : 0;
      setHidden(bar, !all);
      if (all) {
        bar.value = Math.min(1, p!.step / all);
        setAttr(bar, 'aria-label', `${j.spec.name}: step ${p!.step} of ${all}`);
      }
      setValue(
        step,
        p ? (all ? `${short(p.step)} / ${short(all)}` : `step ${short(p.step)}`) : '–',
      );
      setValue(train, loss(p?.loss));
      setValue(held, loss(p?.heldout_loss));
      const running = j.phase === 'running';
      setValue(speed, running ? short(p?.tokens_per_s) : '–');
      let left: string;
      if (running && p?.eta_s !== undefined) left = span(p.eta_s);
      else if (ended(j) && j.ended_us) left = 'ended ' + ago((store.now_us() - j.ended_us) / 1e6);
      else if (starts(store, j.id) !== undefined)
        left = `starts in ${span(Math.max(0, (starts(store, j.id)! - store.now_us()) / 1e6))}`;
      else left = '–';
      setValue(eta, left);
      const tell =
        j.phase === 'failed' || j.phase === 'paused' || j.phase === 'queued' ? j.reason : '';
      const lines = j.phase === 'failed' ? j.last_lines.slice(-6) : [];
      setHidden(whyLine, !tell && !lines.length);
      renderIfChanged(why, [tell, lines], () => [
        tell && h('p', null, tell),
        lines.length > 0 && h('pre', { tabindex: '0' }, lines.join('\n')),
      ]);
    },
  };
}

export function createJobs(store: Store, curves: Curves) {
  const { el, body, count } = panel('Jobs', 'jobs');
  const none = empty('No job was submitted yet.', kCommands.job);
  const head = (text: string, cls = '', title = '') =>
    h('th', { scope: 'col', class: cls, title: title || undefined }, text);
  const thead = h(
    'thead',
    null,
    h(
      'tr',
      null,
      head('Job'),
      head('Phase'),
      head('Slots', 'num', 'held now, of least to most'),
      head('Progress'),
      head('Loss', 'num', 'training loss, nats per token'),
      head('Held-out', 'num', 'loss on text kept out of training'),
      head('Tokens/s', 'num wide'),
      head('Time left', 'num'),
    ),
  );
  const table = h('table', { class: 'jobs' }, thead);
  const scroll = h('div', { class: 'scroll-x' }, table);
  const more = h('button', { type: 'button', class: 'quiet more', hidden: true });
  let all = false;
  more.addEventListener('click', () => {
    all = !all;
    if (store.view) update(store.view);
  });

  // the curve below the table
  const tabs = h('div', { class: 'tabs', role: 'group', 'aria-label': 'Loss curve of' });
  const plot = lossPlot(190);
  const log = h('input', { type: 'checkbox', id: 'log-steps' });
  log.addEventListener('change', () => plot.setLogX(log.checked));
  const curveBox = h(
    'div',
    { class: 'curve', hidden: true },
    h(
      'div',
      { class: 'curve-head' },
      h('h3', null, 'Loss'),
      tabs,
      h(
        'div',
        { class: 'key' },
        h('span', null, h('i', { class: 'line l1' }), 'train'),
        h('span', null, h('i', { class: 'line l2' }), 'held-out'),
        h('span', null, h('i', { class: 'line mark' }), 'slots changed'),
      ),
      h('label', { for: 'log-steps', class: 'check' }, log, 'log steps'),
    ),
    plot.el,
  );
  let chosen = '';
  body.append(none, scroll, more, curveBox);

  const rows = new Rows<Job>(
    table,
    (j) => j.id,
    () => row(store),
    thead,
  );

  function paintCurve(view: LabView): void {
    const training = view.jobs
      .filter((j) => j.progress?.loss !== undefined)
      .sort((a, b) => kOrder[a.phase] - kOrder[b.phase] || b.submitted_us - a.submitted_us)
      .slice(0, 4);
    setHidden(curveBox, training.length === 0);
    const job = training.find((j) => j.id === chosen) ?? training[0];
    if (!job) return;
    renderIfChanged(tabs, [training.map((j) => [j.id, j.spec.name]), job.id], () =>
      training.map((j) =>
        h(
          'button',
          {
            type: 'button',
            class: 'tab',
            'aria-pressed': String(j.id === job.id),
            'data-key': 'curve ' + j.id,
            on: {
              click: () => {
                chosen = j.id;
                if (store.view) paintCurve(store.view);
              },
            },
          },
          j.spec.name,
        ),
      ),
    );
    plot.set(curves.of(job, () => store.view && paintCurve(store.view)));
  }

  function update(view: LabView): void {
    const living = view.jobs
      .filter((j) => !ended(j))
      .sort((a, b) => kOrder[a.phase] - kOrder[b.phase] || a.submitted_us - b.submitted_us);
    const past = view.jobs.filter(ended).sort((a, b) => b.ended_us - a.ended_us);
    setHidden(none, view.jobs.length > 0);
    setHidden(scroll, view.jobs.length === 0);
    const running = living.filter((j) => j.phase === 'running').length;
    setText(
      count,
      view.jobs.length ? `${running} running, ${living.length - running} waiting` : '',
    );
    rows.set([...living.slice(0, kMostRows), ...past.slice(0, all ? kMostRows : kEndedShown)]);
    setHidden(more, past.length <= kEndedShown);
    setText(more, all ? 'Show fewer ended jobs' : `Show all ${past.length} ended jobs`);
    paintCurve(view);
  }
  return { el, update };
}
