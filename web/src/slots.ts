// Who holds each slot, read off a view. Pure.
import type { Job, LabView, Lease, Loan, Slot } from './wire';

export type Kind = 'research' | 'product' | 'loan' | 'idle' | 'cordoned' | 'down';
export const kKinds: Kind[] = ['research', 'product', 'loan', 'idle', 'cordoned', 'down'];
export const kKindNames: Record<Kind, string> = {
  research: 'Research',
  product: 'Product',
  loan: 'On loan',
  idle: 'Idle',
  cordoned: 'Cordoned',
  down: 'Down',
};

export interface SlotState {
  slot: Slot;
  kind: Kind;
  /** starting: not there or not ready yet; stopping: asked to go. */
  motion: '' | 'starting' | 'stopping';
  lease?: Lease;
  loan?: Loan;
  job?: Job;
  holder: string;
  /** Address of the holder's detail: jobs/job-3, services/svc-1, or empty. */
  target: string;
}

function motionOf(lease: Lease): SlotState['motion'] {
  if (lease.phase === 'stopping') return 'stopping';
  if (lease.phase === 'intended') return 'starting';
  return lease.holder_kind === 'replica' && !lease.ready ? 'starting' : '';
}

// While a replica replaces another in the same slots both hold them: show the one that serves.
const kRank = { '': 0, starting: 1, stopping: 2 };

export function slotStates(view: LabView): SlotState[] {
  const leases = new Map<string, Lease>();
  for (const lease of view.leases) {
    if (lease.phase === 'ended') continue;
    for (const slot of lease.slots) {
      const other = leases.get(slot);
      if (!other || kRank[motionOf(lease)] < kRank[motionOf(other)]) leases.set(slot, lease);
    }
  }
  const product = new Set(view.teams.filter((t) => t.class === 'product').map((t) => t.name));
  const jobs = new Map(view.jobs.map((j) => [j.id, j]));
  const loans = new Map(view.loans.map((l) => [l.id, l]));
  return view.slots.map((slot): SlotState => {
    const lease = leases.get(slot.id);
    if (!lease) {
      const kind = slot.health === 'up' ? 'idle' : slot.health;
      return { slot, kind, motion: '', holder: '', target: '' };
    }
    const replica = lease.holder_kind === 'replica';
    const job = replica ? undefined : jobs.get(lease.holder);
    const loan = lease.loan ? loans.get(lease.loan) : undefined;
    const state: SlotState = {
      slot,
      kind:
        slot.health === 'down'
          ? 'down'
          : lease.loan
            ? 'loan'
            : product.has(lease.team)
              ? 'product'
              : 'research',
      motion: motionOf(lease),
      lease,
      holder: replica ? lease.service || lease.holder : (job?.spec.name ?? lease.holder),
      target: (replica ? 'services/' : 'jobs/') + lease.holder,
    };
    if (job) state.job = job;
    if (loan) state.loan = loan;
    return state;
  });
}

export function countKinds(states: SlotState[]): Record<Kind, number> {
  const out: Record<Kind, number> = {
    research: 0,
    product: 0,
    loan: 0,
    idle: 0,
    cordoned: 0,
    down: 0,
  };
  for (const s of states) ++out[s.kind];
  return out;
}

/** Slots by site, then node, in the order of the view. */
export function byNode(states: SlotState[]): Map<string, Map<string, SlotState[]>> {
  const sites = new Map<string, Map<string, SlotState[]>>();
  for (const s of states) {
    let nodes = sites.get(s.slot.site);
    if (!nodes) sites.set(s.slot.site, (nodes = new Map()));
    const node = nodes.get(s.slot.node);
    if (node) node.push(s);
    else nodes.set(s.slot.node, [s]);
  }
  return sites;
}
