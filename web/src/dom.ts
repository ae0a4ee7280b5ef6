// Building and updating elements. Text only ever enters as a text node, so nothing that the lab
// sends (a job's name, a log line) can become markup.

import { kNothing } from './format';

export type Child = Node | string | number | null | undefined | false;

interface Props {
  class?: string;
  on?: Record<string, (e: Event) => void>;
  [attribute: string]: unknown;
}

const kSvg = 'http://www.w3.org/2000/svg';

function fill(el: Element, props: Props | null, children: Child[]): void {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name === 'on') {
      for (const [type, f] of Object.entries(value as object)) el.addEventListener(type, f);
    } else {
      el.setAttribute(name, value === true ? '' : String(value));
    }
  }
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    el.append(child instanceof Node ? child : String(child));
  }
}

export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  props: Props | null = null,
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const el = document.createElement(tag);
  fill(el, props, children);
  return el;
}

export function svg(tag: string, props: Props | null = null, ...children: Child[]): SVGElement {
  const el = document.createElementNS(kSvg, tag);
  fill(el, props, children);
  return el;
}

/** Writes only what changed: no layout, no repaint and no lost selection otherwise. */
export function setText(el: Element, text: string): void {
  if (el.textContent !== text) el.textContent = text;
}

/** A value of a table; one that is not there stays in the background. */
export function setValue(el: Element, text: string): void {
  setText(el, text);
  setAttr(el, 'data-none', text === kNothing ? '' : null);
}

export function setAttr(el: Element, name: string, value: string | null): void {
  if (value === null) {
    if (el.hasAttribute(name)) el.removeAttribute(name);
  } else if (el.getAttribute(name) !== value) {
    el.setAttribute(name, value);
  }
}

export function setHidden(el: HTMLElement, hidden: boolean): void {
  if (el.hidden !== hidden) el.hidden = hidden;
}

/** An element that is rebuilt only when what it shows changes; keeps focus on a rebuilt button. */
export function renderIfChanged(el: HTMLElement, state: unknown, build: () => Child[]): void {
  const now = JSON.stringify(state);
  if (el.dataset['shows'] === now) return;
  el.dataset['shows'] = now;
  const key = el.contains(document.activeElement)
    ? document.activeElement?.getAttribute('data-key')
    : null;
  el.replaceChildren();
  fill(el, null, build());
  if (key) el.querySelector<HTMLElement>(`[data-key="${CSS.escape(key)}"]`)?.focus();
}

interface Row<T, E> {
  el: E;
  update: (item: T) => void;
  destroy?: () => void;
}

/**
 * Rows of a list, by key: each row is made once, updated in place, moved only when the order
 * changed and removed with its item. They follow `head`, or are all that `parent` has. The focus
 * stays where it is, though moving an element in the document takes it away.
 */
export class Rows<T> {
  private rows = new Map<string, Row<T, HTMLElement>>();

  constructor(
    private parent: Element,
    private keyOf: (item: T) => string,
    private make: (item: T) => Row<T, HTMLElement>,
    private head: Element | null = null,
  ) {}

  set(items: readonly T[]): void {
    const focused = document.activeElement;
    const wanted = new Map(items.map((item) => [this.keyOf(item), item]));
    for (const [key, row] of this.rows) {
      if (wanted.has(key)) continue;
      row.destroy?.();
      row.el.remove();
      this.rows.delete(key);
    }
    let at = this.head ? this.head.nextElementSibling : this.parent.firstElementChild;
    for (const [key, item] of wanted) {
      let row = this.rows.get(key);
      if (!row) this.rows.set(key, (row = this.make(item)));
      row.update(item);
      if (row.el === at) at = at.nextElementSibling;
      else this.parent.insertBefore(row.el, at);
    }
    if (focused !== document.activeElement && focused?.isConnected) {
      (focused as HTMLElement).focus({ preventScroll: true });
    }
  }
}

let panels = 0;

/** A section with a heading; `aside` sits at the right end of the heading line. */
export function panel(
  title: string,
  id: string,
  aside: Child[] = [],
): { el: HTMLElement; body: HTMLElement; count: HTMLElement } {
  const count = h('span', { class: 'count' });
  const heading = h('h2', { id: `h-${id}-${++panels}` }, title);
  const body = h('div', { class: 'panel-body' });
  const el = h(
    'section',
    { class: `panel panel-${id}`, id, 'aria-labelledby': heading.id },
    h('div', { class: 'panel-head' }, heading, count, h('div', { class: 'panel-aside' }, ...aside)),
    body,
  );
  return { el, body, count };
}

/** What a panel says when there is nothing to show: a sentence, and the command that changes it. */
export function empty(sentence: string, command = ''): HTMLElement {
  return h('div', { class: 'empty' }, h('p', null, sentence), command && h('code', null, command));
}
