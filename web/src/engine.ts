// The engines of one service, asked every few seconds while the page is looked at: tokens per
// second, batch, KV cache, prefix hits, and how long requests of the last minute waited.
import { get } from './api';
import { h, setAttr, setHidden, setText } from './dom';
import { kNothing, ms, num, short } from './format';
import type { EngineView, LatencyView } from './wire';

const kEvery_ms = 3000;
const kKept = 20; // a minute

interface Sample {
  at_ms: number;
  view: EngineView;
}

/** Requests in each bucket between two samples; a replica that began anew counts from nothing. */
export function between(from: LatencyView | undefined, to: LatencyView): number[] {
  const fresh =
    !from || from.count.length !== to.count.length || from.count.some((c, i) => c > to.count[i]!);
  let below = 0;
  return to.count.map((c, i) => {
    const upTo = c - (fresh ? 0 : from.count[i]!);
    const here = upTo - below;
    below = upTo;
    return Math.max(0, here);
  });
}

/** What a counter has counted since then; all of it if it began anew. */
export function since(
  from: EngineView | undefined,
  to: EngineView,
  name: 'drafted_tokens' | 'accepted_tokens' | 'prompt_tokens' | 'prefix_hit_tokens',
): number {
  return from && from[name] <= to[name] ? to[name] - from[name] : to[name];
}

/** The upper border of the bucket in which the quantile falls; 0 without a sample. */
export function quantile(buckets: number[], borders: number[], q: number): number {
  const all = buckets.reduce((a, b) => a + b, 0);
  let seen = 0;
  for (let i = 0; i < buckets.length && all > 0; ++i) {
    seen += buckets[i]!;
    if (seen >= q * all) return borders[i] || borders[i - 1] || 0;
  }
  return 0;
}

function tile(label: string) {
  const value = h('span', { class: 'fig-value' }, kNothing);
  const note = h('span', { class: 'fig-note' });
  const el = h('div', { class: 'fig' }, h('span', { class: 'fig-label' }, label), value, note);
  return { el, value, note };
}

function bars(label: string) {
  const head = h('span', { class: 'fig-note' });
  const list = h('div', { class: 'eng-bars', role: 'img' });
  const from = h('span');
  const to = h('span');
  const ends = h('div', { class: 'eng-ends', 'aria-hidden': 'true' }, from, to);
  const name = h('span', { class: 'fig-label' }, label);
  const el = h('div', { class: 'eng-hist' }, name, head, list, ends);
  return {
    el,
    set(buckets: number[], borders: number[], whole: boolean) {
      const first = buckets.findIndex((n) => n > 0);
      const last = buckets.length - 1 - [...buckets].reverse().findIndex((n) => n > 0);
      const shown = first < 0 ? [] : buckets.slice(first, last + 1);
      const most = Math.max(1, ...shown);
      const p50 = quantile(buckets, borders, 0.5);
      const p99 = quantile(buckets, borders, 0.99);
      setText(
        head,
        first < 0
          ? `none ${whole ? 'yet' : 'in the last minute'}`
          : `half within ${ms(p50)}, 99% within ${ms(p99)}${whole ? ', since the start' : ''}`,
      );
      setAttr(
        list,
        'aria-label',
        first < 0 ? `${label}: no sample` : `${label}: ${head.textContent}`,
      );
      const end = (i: number) => {
        const border = borders[first + i];
        return border ? ms(border) : `beyond ${ms(borders[first + i - 1])}`;
      };
      setText(from, first < 0 ? '' : end(0));
      setText(to, shown.length < 2 ? '' : end(shown.length - 1));
      list.replaceChildren(
        ...shown.map((n, i) => {
          const border = borders[first + i];
          const bar = h('i', { title: `${border ? `≤ ${ms(border)}` : 'longer'}: ${num(n)}` });
          bar.style.height = `${Math.max(n > 0 ? 6 : 0, (100 * n) / most)}%`;
          return bar;
        }),
      );
    },
  };
}

export function createEngine(name: string) {
  const tokens = tile('Tokens');
  const batch = tile('Batch');
  const kv = tile('KV cache');
  const prefix = tile('Prefix hits');
  const ttft = bars('TTFT');
  const tpot = bars('TPOT');
  const el = h(
    'div',
    { class: 'eng', hidden: true },
    tokens.el,
    batch.el,
    kv.el,
    prefix.el,
    ttft.el,
    tpot.el,
  );
  const samples: Sample[] = [];
  let stopped = false;
  let timer = 0;

  function paint(): void {
    const now = samples[samples.length - 1]!;
    const last = samples[samples.length - 2];
    const v = now.view;
    setHidden(el, v.replicas === 0);
    const seconds = last ? (now.at_ms - last.at_ms) / 1000 : 0;
    const made = last ? v.generated_tokens - last.view.generated_tokens : -1;
    setText(tokens.value, made >= 0 && seconds > 0 ? `${short(made / seconds)}/s` : kNothing);
    const oldest = samples.length > 1 ? samples[0]!.view : undefined;
    const guessed = since(oldest, v, 'drafted_tokens');
    const right = since(oldest, v, 'accepted_tokens');
    setText(
      tokens.note,
      guessed > 0 ? `${Math.round((100 * right) / guessed)}% of guesses right` : 'no guesses',
    );
    setText(batch.value, `${num(v.running)} of ${num(v.max_batch)}`);
    setText(batch.note, v.queued > 0 ? `${num(v.queued)} wait` : 'none waits');
    setAttr(batch.note, 'data-bad', v.queued > 0 ? '' : null);
    const blocks = v.kv_blocks_used + v.kv_blocks_cached + v.kv_blocks_free;
    const percent = (n: number) => (blocks > 0 ? `${Math.round((100 * n) / blocks)}%` : kNothing);
    setText(kv.value, percent(v.kv_blocks_used));
    setText(kv.note, `${percent(v.kv_blocks_cached)} kept`);
    const found = since(oldest, v, 'prefix_hit_tokens');
    const prompts = found + since(oldest, v, 'prompt_tokens');
    setText(prefix.value, prompts > 0 ? `${Math.round((100 * found) / prompts)}%` : kNothing);
    setText(prefix.note, `${short(found)} of ${short(prompts)} tokens`);
    ttft.set(between(oldest?.ttft, v.ttft), v.ttft.border_ms, !oldest);
    tpot.set(between(oldest?.tpot, v.tpot), v.tpot.border_ms, !oldest);
  }

  async function ask(): Promise<void> {
    if (!document.hidden) {
      try {
        const view = await get<EngineView>(`/api/v1/services/${encodeURIComponent(name)}/engine`);
        if (stopped) return;
        samples.push({ at_ms: performance.now(), view });
        if (samples.length > kKept) samples.shift();
        paint();
      } catch {
        // the card says what is wrong with the service; these numbers stay as they were
      }
    }
    if (!stopped) timer = window.setTimeout(() => void ask(), kEvery_ms);
  }
  void ask();

  return {
    el,
    destroy() {
      stopped = true;
      window.clearTimeout(timer);
    },
  };
}
