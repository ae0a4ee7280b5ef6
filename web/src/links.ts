// Addresses of details (#/jobs/job-3) and links to them.
import { h } from './dom';
import type { LabView } from './wire';

export const kDetailKinds = ['jobs', 'services', 'loans', 'models', 'datasets'] as const;
export type DetailKind = (typeof kDetailKinds)[number];

export function parseAddress(hash: string): { kind: DetailKind; id: string } | null {
  const m = /^#\/([a-z]+)\/(.+)$/.exec(hash);
  const kind = kDetailKinds.find((k) => k === m?.[1]);
  if (!m || !kind) return null;
  try {
    return { kind, id: decodeURIComponent(m[2]!) };
  } catch {
    return null;
  }
}

export function address(target: string): string {
  const at = target.indexOf('/');
  return `#/${target.slice(0, at)}/${encodeURIComponent(target.slice(at + 1))}`;
}

/** /jobs/job-3 or /market, as a person may type it or a program print it, is #/jobs/job-3. */
export function addressOfPath(path: string): string {
  if (/^\/(market|plan)$/.test(path)) return `/#${path}`;
  const m = /^\/([a-z]+)\/([^/]+)$/.exec(path);
  return m && kDetailKinds.some((k) => k === m[1]) ? `/#/${m[1]}/${m[2]}` : '';
}

/** A link to kind/id; data-key keeps the focus on it when its row is built again. */
export function link(target: string, text: string, cls = ''): HTMLElement {
  if (!target) return h('span', { class: cls }, text);
  return h('a', { href: address(target), class: cls, 'data-key': target }, text);
}

/** Where a journal subject (an id or a name) leads; empty when it has no page. */
export function targetOf(view: LabView, subject: string): string {
  if (/^job-\d+$/.test(subject)) return 'jobs/' + subject;
  if (/^svc-\d+$/.test(subject)) return 'services/' + subject;
  if (/^loan-\d+$/.test(subject)) return 'loans/' + subject;
  const lease = view.leases.find((l) => l.id === subject);
  if (lease) return (lease.holder_kind === 'job' ? 'jobs/' : 'services/') + lease.holder;
  const service = view.services.find((s) => s.service.spec.name === subject);
  if (service) return 'services/' + service.service.id;
  const job = view.jobs.find((j) => j.spec.name === subject);
  if (job) return 'jobs/' + job.id;
  if (view.models.some((m) => m.id === subject)) return 'models/' + subject;
  const dataset = view.datasets.find((d) => d.id === subject || d.name === subject);
  if (dataset) return 'datasets/' + dataset.id;
  return '';
}
