// Loans: open ones with their clocks, and what the returned ones cost.
import { kCommands } from './commands';
import { empty, h, panel, renderIfChanged, Rows, setAttr, setHidden, setText } from './dom';
import { clock, num, plural, slotTime, span, timeOfDay } from './format';
import { link } from './links';
import type { Store } from './store';
import type { LabView, Loan, LoanPart } from './wire';

const kReturnedShown = 5;

export function slotsOf(loan: Loan): number {
  return loan.parts.reduce((n, p) => n + p.slots.length, 0);
}

/** What a loan has cost until now: told once it is returned, reckoned while it runs. */
export function costNow(loan: Loan, now_us: number): number {
  if (loan.phase === 'returned') return loan.cost_slot_s;
  const lost = loan.parts.reduce((sum, p) => sum + p.work_lost_slot_s, 0);
  const lent = (slotsOf(loan) * (now_us - loan.opened_us)) / 1e6;
  return Math.max(loan.cost_slot_s, lent + lost);
}

function jobName(view: LabView, id: string): string {
  return view.jobs.find((j) => j.id === id)?.spec.name ?? id;
}

export function partLine(view: LabView, p: LoanPart): HTMLElement {
  return h(
    'li',
    null,
    h('span', { class: 'how' }, p.how || 'lent'),
    h(
      'span',
      null,
      h('b', { class: 'num' }, num(p.slots.length)),
      p.slots.length === 1 ? ' slot' : ' slots',
      ` of ${p.team}`,
    ),
    p.job ? h('span', null, 'from ', link('jobs/' + p.job, jobName(view, p.job))) : null,
    p.steps_lost > 0 &&
      h('span', { class: 'faint' }, `${plural(p.steps_lost, 'step')} to run again`),
  );
}

function openLoan(store: Store) {
  const head = h('div', { class: 'loan-head' });
  const time = h('span', { class: 'loan-clock', role: 'timer', 'aria-live': 'off' });
  const timeNote = h('span', { class: 'loan-clock-note' });
  const bar = h('i');
  const why = h('p', { class: 'loan-why' });
  const parts = h('ul', { class: 'parts' });
  const cost = h('span', { class: 'num' });
  const ready = h('span', { class: 'faint' });
  const el = h(
    'article',
    { class: 'loan' },
    h('div', { class: 'loan-top' }, head, h('div', { class: 'loan-time' }, time, timeNote)),
    h('div', { class: 'loan-bar', 'aria-hidden': 'true' }, bar),
    why,
    parts,
    h('div', { class: 'loan-foot' }, cost, ready),
  );
  let loan: Loan;
  const tick = () => {
    const now = store.now_us();
    const left = (loan.due_us - now) / 1e6;
    if (loan.phase === 'open') {
      setText(time, clock(left));
      setText(timeNote, left < 0 ? 'past due' : 'until due');
    } else {
      setText(time, clock((now - loan.recalled_us) / 1e6));
      setText(timeNote, 'since recall');
    }
    setAttr(el, 'data-late', left < 0 ? '' : null);
    const share = (now - loan.opened_us) / Math.max(1, loan.due_us - loan.opened_us);
    bar.style.width = `${(100 * Math.max(0, Math.min(1, 1 - share))).toFixed(2)}%`;
    setText(cost, `${slotTime(costNow(loan, now))} so far`);
  };
  return {
    el,
    tick,
    update({ view, loan: next }: { view: LabView; loan: Loan }) {
      loan = next;
      setAttr(el, 'data-loan', loan.id);
      setAttr(el, 'data-phase', loan.phase);
      const service = view.services.find((s) => s.service.spec.name === loan.service);
      const n = slotsOf(loan);
      renderIfChanged(head, [loan.id, loan.service, service?.service.id, n, loan.phase], () => [
        h('h3', null, link('loans/' + loan.id, `${plural(n, 'slot')} to ${loan.service}`)),
        h('span', { class: 'faint' }, loan.id),
        loan.phase === 'recalled' && h('span', { class: 'badge warn' }, 'coming back'),
      ]);
      setText(why, loan.phase === 'recalled' && loan.recall_why ? loan.recall_why : loan.why);
      const names = loan.parts.map((p) => jobName(view, p.job));
      renderIfChanged(parts, [loan.parts, names], () => loan.parts.map((p) => partLine(view, p)));
      setText(
        ready,
        loan.first_ready_us
          ? `serving after ${span((loan.first_ready_us - loan.opened_us) / 1e6)}`
          : 'replicas starting',
      );
      tick();
    },
  };
}

export function createLoans(store: Store, announce: (text: string) => void) {
  const { el, body, count } = panel('Loans', 'loans');
  const none = empty(
    'Nothing is lent. A loan opens when a service surges beyond its own slots.',
    kCommands.surge,
  );
  const open = h('div', { class: 'loan-list' });
  const table = h(
    'table',
    { class: 'returned' },
    h('caption', null, 'Returned'),
    h(
      'thead',
      null,
      h(
        'tr',
        null,
        h('th', { scope: 'col' }, 'Loan'),
        h('th', { scope: 'col', class: 'num' }, 'Slots'),
        h('th', { scope: 'col', class: 'num' }, 'For'),
        h('th', { scope: 'col', class: 'num' }, 'Cost'),
        h('th', { scope: 'col', class: 'num' }, 'Steps'),
      ),
    ),
  );
  const tbody = h('tbody');
  table.append(tbody);
  const more = h('button', { type: 'button', class: 'quiet more', hidden: true });
  let all = false;
  more.addEventListener('click', () => {
    all = !all;
    if (store.view) update(store.view);
  });
  body.append(none, open, table, more);

  const ticks = new Map<string, () => void>();
  const openRows = new Rows<{ view: LabView; loan: Loan }>(
    open,
    (x) => x.loan.id,
    (x) => {
      const row = openLoan(store);
      ticks.set(x.loan.id, row.tick);
      return { ...row, destroy: () => ticks.delete(x.loan.id) };
    },
  );
  const returnedRows = new Rows<Loan>(
    tbody,
    (l) => l.id,
    () => {
      const row = h('tr');
      return {
        el: row,
        update(l: Loan) {
          renderIfChanged(row, l, () => [
            h(
              'td',
              null,
              link('loans/' + l.id, l.service || l.id),
              h('span', { class: 'faint' }, `${l.id} · ${timeOfDay(l.opened_us)}`),
            ),
            h('td', { class: 'num' }, num(slotsOf(l))),
            h('td', { class: 'num' }, span((l.returned_us - l.opened_us) / 1e6)),
            h('td', { class: 'num' }, slotTime(l.cost_slot_s)),
            h('td', { class: 'num' }, num(l.cost_steps)),
          ]);
        },
      };
    },
  );

  let seen: Map<string, Loan['phase']> | null = null;
  function tell(view: LabView): void {
    const now = new Map(view.loans.map((l) => [l.id, l.phase]));
    for (const l of view.loans) {
      const before = seen?.get(l.id);
      if (!seen || before === l.phase) continue;
      if (!before && l.phase === 'open') {
        announce(`Loan opened: ${plural(slotsOf(l), 'slot')} to ${l.service}.`);
      } else if (before && l.phase === 'returned') {
        announce(`Loan ${l.id} returned.`);
      }
    }
    seen = now;
  }

  function update(view: LabView): void {
    tell(view);
    const living = view.loans
      .filter((l) => l.phase !== 'returned')
      .sort((a, b) => a.due_us - b.due_us);
    const past = view.loans
      .filter((l) => l.phase === 'returned')
      .sort((a, b) => b.returned_us - a.returned_us);
    setHidden(none, living.length > 0);
    setText(count, living.length ? `${living.length} open` : '');
    openRows.set(living.map((loan) => ({ view, loan })));
    setHidden(table, past.length === 0);
    returnedRows.set(past.slice(0, all ? 100 : kReturnedShown));
    setHidden(more, past.length <= kReturnedShown);
    setText(more, all ? 'Show fewer' : `Show all ${past.length} returned`);
  }
  return {
    el,
    update,
    tick: () => ticks.forEach((f) => f()),
  };
}
