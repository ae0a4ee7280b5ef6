// A prompt, and the completion as it streams from a service.
import { ApiError, readEvents, request } from './api';
import { kCommands } from './commands';
import { empty, h, panel, renderIfChanged, setHidden, setText } from './dom';
import { num } from './format';
import type { LabView } from './wire';

const kMostShown = 64 * 1024;

interface Chunk {
  choices?: { text?: string; finish_reason?: string | null }[];
  error?: { message?: string };
}

export function createPlayground() {
  const { el, body } = panel('Playground', 'playground');
  const none = empty(
    'No service to ask yet. It opens here as soon as one is deployed.',
    kCommands.services,
  );
  const service = h('select', { id: 'pg-service' });
  const prompt = h('textarea', { id: 'pg-prompt', rows: '3', spellcheck: 'false' });
  prompt.value = 'The license';
  const most = h('input', { id: 'pg-max', type: 'number', min: '1', max: '4096', value: '64' });
  const heat = h('input', {
    id: 'pg-heat',
    type: 'number',
    min: '0',
    max: '2',
    step: '0.1',
    value: '0.8',
  });
  const go = h('button', { type: 'submit', class: 'primary' }, 'Complete');
  const out = h('div', {
    class: 'pg-out',
    role: 'region',
    'aria-label': 'Completion',
    tabindex: '0',
    hidden: true,
  });
  const given = h('span', { class: 'pg-given' });
  const made = h('span');
  out.append(given, made);
  const note = h('p', { class: 'pg-note num', role: 'status' });
  const form = h(
    'form',
    { class: 'pg' },
    h('label', { for: 'pg-service' }, 'Service'),
    service,
    h('label', { for: 'pg-prompt' }, 'Prompt'),
    prompt,
    h(
      'div',
      { class: 'pg-row' },
      h('label', { for: 'pg-max' }, 'Tokens'),
      most,
      h('label', { for: 'pg-heat' }, 'Temperature'),
      heat,
      go,
    ),
    out,
    note,
  );
  body.append(none, form);

  let running: AbortController | null = null;

  async function run(): Promise<void> {
    const controller = (running = new AbortController());
    setText(go, 'Stop');
    setHidden(out, false);
    given.textContent = prompt.value;
    made.textContent = '';
    setText(note, 'waiting for the first token');
    const start = performance.now();
    let first = 0;
    let chunks = 0;
    const report = (end: string) => {
      const now = performance.now();
      const rate = chunks > 1 ? (chunks - 1) / ((now - first) / 1000) : 0;
      setText(
        note,
        [
          first ? `first token ${num(Math.round(first - start))} ms` : '',
          `${num(chunks)} tokens`,
          rate ? `${num(rate)}/s` : '',
          end,
        ]
          .filter(Boolean)
          .join(' · '),
      );
    };
    let finish = '';
    try {
      const response = await request('/v1/completions', {
        method: 'POST',
        signal: controller.signal,
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({
          model: service.value,
          prompt: prompt.value,
          max_tokens: Math.max(1, Math.floor(most.valueAsNumber || 64)),
          temperature: Number.isFinite(heat.valueAsNumber) ? heat.valueAsNumber : 0.8,
          stream: true,
        }),
      });
      await readEvents(response, (e) => {
        if (e.data === '[DONE]') return;
        const chunk = JSON.parse(e.data) as Chunk;
        if (chunk.error) throw new Error(chunk.error.message ?? 'the service broke off');
        const text = chunk.choices?.[0]?.text ?? '';
        finish = chunk.choices?.[0]?.finish_reason || finish;
        if (!text) return;
        if (!first) first = performance.now();
        ++chunks;
        if (made.textContent!.length < kMostShown) made.append(text);
        out.scrollTop = out.scrollHeight;
        report('');
      });
      report(finish === 'length' ? 'stopped at the limit of tokens' : finish ? 'complete' : '');
    } catch (error) {
      if (controller.signal.aborted) report('stopped');
      else if (error instanceof ApiError && error.status === 429) {
        setText(note, `Busy: ${error.message}`);
      } else setText(note, error instanceof Error ? error.message : String(error));
    } finally {
      if (running === controller) running = null;
      setText(go, 'Complete');
    }
  }

  form.addEventListener('submit', (event) => {
    event.preventDefault();
    if (running) running.abort();
    else void run();
  });
  prompt.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });

  return {
    el,
    update(view: LabView) {
      const names = view.services
        .filter((s) => s.service.phase === 'active')
        .map((s) => s.service.spec.name);
      setHidden(none, names.length > 0);
      setHidden(form, names.length === 0);
      const chosen = service.value;
      renderIfChanged(service, names, () => names.map((n) => h('option', { value: n }, n)));
      if (names.includes(chosen)) service.value = chosen;
    },
  };
}
