// The line at the top: whose lab, since when, who has how many slots, and whether all is well.
import { h, setAttr, setHidden, setText, svg } from './dom';
import { dateTime, num, plural, span, timeOfDay } from './format';
import { countKinds, kKindNames, kKinds, slotStates } from './slots';
import type { Store } from './store';
import { isDark, onTheme, toggleTheme } from './theme';
import type { LabView } from './wire';

export function createHeader(store: Store, nav: HTMLElement, signOut: () => void) {
  const name = h('span', { class: 'lab-name' }, 'Weir');
  const up = h('span', { class: 'lab-up' });
  const live = h('span', { class: 'live', 'data-state': 'connecting' });
  const liveText = h('span', { class: 'live-text' }, 'connecting');

  // one bar, a stretch per kind; the words below are the legend of the slot map too
  const bar = h('div', { class: 'usage-bar', 'aria-hidden': 'true' });
  const legend = h('ul', { class: 'usage', 'aria-label': 'Slots by use' });
  const parts = kKinds.map((kind) => {
    const stretch = h('span', { class: `k-${kind}` });
    bar.append(stretch);
    const n = h('b', null, '0');
    const li = h(
      'li',
      { 'data-kind': kind },
      h('i', { class: `swatch k-${kind}`, 'aria-hidden': 'true' }),
      kKindNames[kind],
      ' ',
      n,
    );
    legend.append(li);
    return { kind, stretch, n, li };
  });
  const used = h('span', { class: 'used' });

  const themeButton = h(
    'button',
    { type: 'button', class: 'quiet', on: { click: () => toggleTheme() } },
    '',
  );
  const paintTheme = () => {
    setText(themeButton, isDark() ? 'Light' : 'Dark');
    setAttr(themeButton, 'aria-label', isDark() ? 'Use the light theme' : 'Use the dark theme');
  };
  onTheme(paintTheme);
  paintTheme();

  const trouble = h('div', { class: 'banner bad', role: 'alert', id: 'trouble', hidden: true });
  const lost = h('div', { class: 'banner warn', role: 'status', id: 'lost', hidden: true });
  const draining = h(
    'div',
    { class: 'banner warn', role: 'status', hidden: true },
    'The lab is shutting down: running work is saved or finished, nothing new is started.',
  );

  const el = h(
    'header',
    { class: 'top' },
    h(
      'div',
      { class: 'top-line' },
      h(
        'div',
        { class: 'brand' },
        svg(
          'svg',
          { viewBox: '0 0 32 32', class: 'logo', 'aria-hidden': 'true' },
          svg('path', { d: 'M2 10h15v13', class: 'logo-up' }),
          svg('path', { d: 'M17 24h13', class: 'logo-down' }),
        ),
        h('h1', null, name),
        up,
      ),
      nav,
      h('div', { class: 'usage-box' }, h('div', { class: 'usage-line' }, used, bar), legend),
      h(
        'div',
        { class: 'top-aside' },
        h('span', { class: 'live-box' }, live, liveText),
        themeButton,
        h('button', { type: 'button', class: 'quiet', on: { click: signOut } }, 'Forget key'),
      ),
    ),
    trouble,
    lost,
    draining,
  );

  store.subscribeConnection((c) => {
    setAttr(live, 'data-state', c.state);
    setText(liveText, c.state === 'denied' ? 'no key' : c.state);
    setHidden(lost, c.state !== 'lost');
    if (c.state === 'lost') {
      setText(
        lost,
        c.seen_us
          ? `Connection lost, showing state of ${timeOfDay(c.seen_us)}. Trying again by itself.`
          : 'The lab does not answer. Trying again by itself; is `weir up` running?',
      );
    }
  });

  return {
    el,
    update(view: LabView) {
      setText(name, view.lab || 'Weir');
      document.title = `${view.lab || 'lab'} · Weir`;
      setAttr(up, 'title', `since ${dateTime(view.started_us)}, Weir ${view.version}`);
      setHidden(trouble, !view.trouble);
      setText(trouble, view.trouble);
      setHidden(draining, !view.draining);
      const counts = countKinds(slotStates(view));
      const total = view.slots.length;
      const taken = counts.research + counts.product + counts.loan;
      setText(used, `${num(taken)} of ${plural(total, 'slot')} in use`);
      for (const { kind, stretch, n, li } of parts) {
        stretch.style.flexGrow = String(counts[kind]);
        setText(n, num(counts[kind]));
        setHidden(li, !counts[kind] && (kind === 'cordoned' || kind === 'down'));
      }
    },
    tick() {
      if (store.view) {
        setText(up, `up ${span((store.now_us() - store.view.started_us) / 1e6)}`);
      }
    },
  };
}
