// The journal, newest first: who, what and on which numbers. Live; filtered by what is typed.
import { get, stream } from './api';
import { kCommands } from './commands';
import { empty, h, panel, setHidden, setText } from './dom';
import { dateTime, num, timeOfDay } from './format';
import { link, targetOf } from './links';
import type { Store } from './store';
import type { JournalPage, JournalRecord, LabView } from './wire';

const kMostKept = 600;
const kMostShown = 150;
const kFirstPage = 150;

function value(x: unknown): string {
  if (typeof x === 'number') return num(x);
  if (typeof x === 'string' || typeof x === 'boolean') return String(x);
  return JSON.stringify(x);
}

/** The subject's area, for the colour of its mark: job, loan, service, rollout, ... */
const area = (type: string) => type.split('.')[0] ?? '';

export function recordLine(view: LabView | null, r: JournalRecord): HTMLElement {
  const numbers = Object.entries(r.numbers ?? {});
  // a subject and its target once: ids and names may both be given
  const targets = new Set<string>();
  const subjects: HTMLElement[] = [];
  for (const s of r.subjects) {
    const target = view ? targetOf(view, s) : '';
    if (target && targets.has(target)) continue;
    targets.add(target);
    subjects.push(target ? link(target, s, 'subject') : h('span', { class: 'subject' }, s));
  }
  return h(
    'li',
    { class: 'record', 'data-area': area(r.type), 'data-seq': r.seq },
    h('time', { title: dateTime(r.at_us), class: 'num' }, timeOfDay(r.at_us)),
    h(
      'div',
      { class: 'record-body' },
      h('p', null, r.text || r.type),
      h(
        'div',
        { class: 'record-notes' },
        h('span', { class: 'record-type' }, r.type),
        r.actor && r.actor !== 'weir' && h('span', { class: 'record-actor' }, `by ${r.actor}`),
        ...subjects,
        ...numbers.map(([k, v]) => h('span', { class: 'n' }, `${k} `, h('b', null, value(v)))),
      ),
    ),
  );
}

export function createJournal(store: Store) {
  const filter = h('input', {
    type: 'search',
    placeholder: 'Filter: job, service, word',
    'aria-label': 'Filter the journal',
    spellcheck: 'false',
    autocomplete: 'off',
  });
  const { el, body, count } = panel('Journal', 'journal', [filter]);
  const none = empty('Nothing was decided yet.', kCommands.journal);
  const nothingFound = h('p', { class: 'empty', hidden: true }, 'No record matches the filter.');
  const list = h('ol', { class: 'records', tabindex: '0', 'aria-label': 'Journal, newest first' });
  body.append(none, nothingFound, list);

  let records: JournalRecord[] = []; // oldest first
  let next = 0;
  let stop: (() => void) | null = null;
  let generation = 0;

  const matches = (r: JournalRecord, words: string[]) => {
    if (!words.length) return true;
    const text = [r.text, r.type, r.actor, ...r.subjects].join(' ').toLowerCase();
    return words.every((w) => text.includes(w));
  };
  const words = () => filter.value.toLowerCase().split(/\s+/).filter(Boolean);

  function paintAll(): void {
    const w = words();
    const shown = records.filter((r) => matches(r, w)).slice(-kMostShown);
    list.replaceChildren(...shown.reverse().map((r) => recordLine(store.view, r)));
    paintNotes();
  }

  function paintNotes(): void {
    setHidden(none, records.length > 0);
    setHidden(nothingFound, records.length === 0 || list.childElementCount > 0);
    setText(count, records.length ? `${num(Math.max(0, next - 1))} records` : '');
  }

  function add(r: JournalRecord): void {
    if (r.seq < next) return;
    next = r.seq + 1;
    records.push(r);
    if (records.length > kMostKept) records = records.slice(-kMostKept);
    if (matches(r, words())) {
      // a reader who scrolled down stays where they are
      const before = list.scrollHeight;
      const reading = list.scrollTop > 4;
      list.prepend(recordLine(store.view, r));
      while (list.childElementCount > kMostShown) list.lastElementChild!.remove();
      if (reading) list.scrollTop += list.scrollHeight - before;
    }
    paintNotes();
  }

  filter.addEventListener('input', paintAll);

  async function load(mine: number): Promise<void> {
    let pause = 500;
    while (mine === generation) {
      try {
        const page = await get<JournalPage>(`/api/v1/journal?last=${kFirstPage}`);
        if (mine !== generation) return;
        records = page.records;
        const last = records[records.length - 1];
        next = Math.max(page.next, last ? last.seq + 1 : 0);
        paintAll();
        break;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, pause));
        pause = Math.min(pause * 2, 8000);
      }
    }
    if (mine !== generation) return;
    stop = stream({
      path: () => `/api/v1/journal?follow=true&from=${Math.max(1, next)}`,
      onEvent: (e) => {
        if (e.event === 'record') add(JSON.parse(e.data) as JournalRecord);
      },
      onDenied: () => {}, // the lab's stream says so and asks for the key
    });
  }

  return {
    el,
    start() {
      this.stop();
      void load(++generation);
    },
    stop() {
      ++generation;
      stop?.();
      stop = null;
    },
    /** Names resolve to links once the first view is there. */
    firstView: paintAll,
    showOnly(text: string) {
      filter.value = text;
      paintAll();
    },
  };
}
