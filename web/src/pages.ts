// The pages beside the lab's own: which one is shown, and how they are kept fresh. The address says
// which: #/market, #/plan; anything else is the lab, with or without a detail.
import { ApiError } from './api';
import { h, setAttr, setHidden, setText } from './dom';
import type { Store } from './store';
import type { LabView } from './wire';

export const kPages = ['lab', 'market', 'plan'] as const;
export type PageName = (typeof kPages)[number];
const kTitles: Record<PageName, string> = { lab: 'Lab', market: 'Market', plan: 'Plan' };

export function pageOf(hash: string): PageName {
  const m = /^#\/(market|plan)$/.exec(hash);
  return (m?.[1] as PageName | undefined) ?? 'lab';
}

export function createNav() {
  const links = kPages.map((name) => ({
    name,
    el: h('a', { href: name === 'lab' ? '#/' : `#/${name}`, 'data-page': name }, kTitles[name]),
  }));
  const el = h('nav', { class: 'pages', 'aria-label': 'Pages' }, ...links.map((l) => l.el));
  return {
    el,
    show(page: PageName) {
      for (const l of links) setAttr(l.el, 'aria-current', l.name === page ? 'page' : null);
    },
  };
}

export interface Page {
  el: HTMLElement;
  show(): void;
  hide(): void;
  update(view: LabView): void;
}

/**
 * A page that shows what the lab answers at some paths: asked for when it is opened and when the
 * journal has grown, not more often than `every_s`.
 */
export function fetchedPage<T>(
  store: Store,
  options: {
    id: string;
    title: string;
    every_s: number;
    fetch: () => Promise<T>;
    paint: (answer: T) => void;
    /** A sentence that says what to do, where there is nothing to show (404). */
    nothing?: HTMLElement;
    body: HTMLElement[];
  },
): Page {
  const trouble = h('p', { class: 'banner bad', role: 'alert', hidden: true });
  const body = h('div', { class: 'page-body', hidden: true }, ...options.body);
  if (options.nothing) options.nothing.hidden = true;
  const el = h(
    'main',
    { class: 'page', id: options.id, tabindex: '-1', hidden: true, 'aria-label': options.title },
    trouble,
    options.nothing ?? null,
    body,
  );
  let open = false;
  let busy = false;
  let seq = -1;
  let asked = -Infinity;

  async function ask(): Promise<void> {
    if (!open || busy || !store.view) return;
    if (store.view.journal_seq === seq || performance.now() - asked < options.every_s * 1000)
      return;
    busy = true;
    asked = performance.now();
    const of = store.view.journal_seq;
    try {
      const answer = await options.fetch();
      seq = of;
      if (options.nothing) setHidden(options.nothing, true);
      setHidden(body, false);
      setHidden(trouble, true);
      options.paint(answer);
    } catch (error) {
      const none = error instanceof ApiError && error.status === 404 && options.nothing;
      if (none) seq = of;
      if (options.nothing) setHidden(options.nothing, !none);
      if (none) setHidden(body, true);
      setHidden(trouble, !!none);
      setText(trouble, `The lab did not answer: ${(error as Error).message}`);
    } finally {
      busy = false;
    }
  }
  return {
    el,
    show() {
      open = true;
      setHidden(el, false);
      asked = -Infinity;
      void ask();
    },
    hide() {
      open = false;
      setHidden(el, true);
    },
    update: () => void ask(),
  };
}
