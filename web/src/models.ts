// Pipelines, model versions with lineage and gate, and datasets.
import { kCommands } from './commands';
import { empty, h, panel, renderIfChanged, setHidden, setText } from './dom';
import { bytes, loss, num, span } from './format';
import { link } from './links';
import type { Store } from './store';
import type { LabView, Pipeline } from './wire';

const kMostShown = 8;

type StepState = 'done' | 'now' | 'todo' | 'failed';

function steps(view: LabView, p: Pipeline): { name: string; state: StepState; target: string }[] {
  const newest = (name: string | undefined) =>
    name === undefined
      ? undefined
      : view.jobs
          .filter((j) => j.spec.name === name)
          .sort((a, b) => b.submitted_us - a.submitted_us)[0];
  const out: { name: string; state: StepState; target: string }[] = [];
  const dataset = view.datasets.find((d) => d.name === p.dataset);
  const build = newest(p.build?.name);
  const phase = (j: typeof build): StepState =>
    !j ? 'todo' : j.phase === 'done' ? 'done' : j.phase === 'failed' ? 'failed' : 'now';
  out.push({
    name: `dataset ${p.dataset}`,
    state: dataset ? 'done' : phase(build),
    target: dataset ? 'datasets/' + dataset.id : build ? 'jobs/' + build.id : '',
  });
  if (p.train) {
    const train = newest(p.train.name);
    out.push({
      name: `train ${p.train.name}`,
      state: phase(train),
      target: train ? 'jobs/' + train.id : '',
    });
  }
  const versions = view.models.filter((m) => m.model === p.model);
  const version = versions[versions.length - 1];
  out.push({
    name: version ? version.id : `version of ${p.model}`,
    state: version ? 'done' : 'todo',
    target: version ? 'models/' + version.id : '',
  });
  if (p.service) {
    const service = view.services.find((s) => s.service.spec.name === p.service!.name);
    out.push({
      name: `serve ${p.service.name}`,
      state: service ? (service.ready ? 'done' : 'now') : 'todo',
      target: service ? 'services/' + service.service.id : '',
    });
  }
  return out;
}

export function createModels(store: Store) {
  const { el, body, count } = panel('Models and data', 'models');
  const pipelines = h('div', { class: 'pipelines' });
  const none = empty(
    'No model version yet. A checkpoint becomes one when its held-out loss passes the gate.',
    kCommands.models,
  );
  const versions = h('div', { class: 'scroll-x' });
  const noData = empty('No dataset yet.', kCommands.dataset);
  const datasets = h('div', { class: 'scroll-x' });
  body.append(pipelines, none, versions, noData, datasets);

  return {
    el,
    update(view: LabView) {
      renderIfChanged(
        pipelines,
        view.pipelines.map((p) => [p.name, p.paused, steps(view, p)]),
        () =>
          view.pipelines.map((p) =>
            h(
              'div',
              { class: 'pipeline' },
              h('span', { class: 'pipeline-name' }, p.name, p.paused && ' (paused)'),
              h(
                'ol',
                { 'aria-label': `steps of ${p.name}` },
                ...steps(view, p).map((s) =>
                  h(
                    'li',
                    { class: `step s-${s.state}` },
                    link(s.target, s.name),
                    h(
                      'span',
                      { class: 'sr' },
                      s.state === 'now' ? 'under way' : s.state === 'todo' ? 'to come' : s.state,
                    ),
                  ),
                ),
              ),
            ),
          ),
      );

      setHidden(none, view.models.length > 0);
      setText(count, view.models.length ? String(view.models.length) : '');
      const served = new Map<string, string[]>();
      for (const l of view.leases) {
        if (l.holder_kind !== 'replica' || l.phase !== 'active' || !l.ready) continue;
        served.set(l.version, [...(served.get(l.version) ?? []), l.service]);
      }
      const newest = view.models.slice(-kMostShown).reverse();
      const minutes = Math.floor(store.now_us() / 60e6);
      renderIfChanged(versions, [newest, newest.map((m) => served.get(m.id)), minutes], () => {
        if (!newest.length) return [];
        return [
          h(
            'table',
            { class: 'models' },
            h(
              'thead',
              null,
              h(
                'tr',
                null,
                ...[
                  'Version',
                  'Trained on from',
                  'Step',
                  'Held-out',
                  'Gate',
                  'Served by',
                  'Age',
                ].map((t) =>
                  h('th', { scope: 'col', class: /Step|Held|Age/.test(t) ? 'num' : '' }, t),
                ),
              ),
            ),
            h(
              'tbody',
              null,
              ...newest.map((m) =>
                h(
                  'tr',
                  null,
                  h('td', null, link('models/' + m.id, m.id, 'mono')),
                  h(
                    'td',
                    null,
                    m.parent
                      ? link('models/' + m.parent, m.parent, 'mono')
                      : h('span', { class: 'faint' }, 'the first'),
                  ),
                  h('td', { class: 'num' }, num(m.step)),
                  h('td', { class: 'num' }, loss(m.heldout_loss)),
                  h('td', { class: 'gate', title: m.gate }, m.gate || '–'),
                  h('td', null, [...new Set(served.get(m.id) ?? [])].join(', ') || '–'),
                  h('td', { class: 'num' }, span((store.now_us() - m.created_us) / 1e6)),
                ),
              ),
            ),
          ),
        ];
      });

      setHidden(noData, view.datasets.length > 0);
      renderIfChanged(datasets, view.datasets, () => {
        if (!view.datasets.length) return [];
        return [
          h(
            'table',
            { class: 'datasets' },
            h(
              'thead',
              null,
              h(
                'tr',
                null,
                h('th', { scope: 'col' }, 'Dataset'),
                h('th', { scope: 'col' }, 'Hash'),
                h('th', { scope: 'col', class: 'num' }, 'Size'),
                h('th', { scope: 'col' }, 'Report'),
              ),
            ),
            h(
              'tbody',
              null,
              ...view.datasets.map((d) =>
                h(
                  'tr',
                  null,
                  h('td', null, link('datasets/' + d.id, d.name)),
                  h('td', { class: 'mono faint' }, d.sha256.slice(0, 12)),
                  h('td', { class: 'num' }, bytes(d.bytes)),
                  h('td', { class: 'gate' }, reportLine(d.report)),
                ),
              ),
            ),
          ),
        ];
      });
    },
  };
}

/** The report's own numbers, flat; nested ones are for the detail. */
export function reportLine(report: unknown): string {
  if (!report || typeof report !== 'object') return '–';
  const parts = Object.entries(report)
    .filter(([, v]) => typeof v === 'number' || typeof v === 'string')
    .map(([k, v]) => `${k.replaceAll('_', ' ')} ${typeof v === 'number' ? num(v) : String(v)}`);
  return parts.slice(0, 5).join(', ') || '–';
}
