// Asks for the key, once; says clearly why when it asks again.
import { ApiError, key, request, setKey } from './api';
import { kCommands } from './commands';
import { h, setHidden, setText } from './dom';

export function createKeyForm(accepted: () => void) {
  const input = h('input', {
    id: 'key',
    type: 'password',
    autocomplete: 'off',
    spellcheck: 'false',
    required: true,
    'aria-describedby': 'key-error',
  });
  const error = h('p', { class: 'key-error', id: 'key-error', role: 'alert', hidden: true });
  const go = h('button', { type: 'submit', class: 'primary' }, 'Open the lab');
  const form = h(
    'form',
    { class: 'key-form', hidden: true, 'aria-labelledby': 'key-title' },
    h('h1', { id: 'key-title' }, 'Weir'),
    h('p', null, 'This lab shows itself to those who hold a key.'),
    h('label', { for: 'key' }, 'Key'),
    input,
    error,
    go,
    h(
      'p',
      { class: 'faint' },
      'The admin key was printed at the first start. Another one: ',
      h('code', null, kCommands.key),
      '. What you enter stays in this tab.',
    ),
  );

  function show(why: string): void {
    setHidden(form, false);
    setText(error, why);
    setHidden(error, !why);
    input.value = '';
    input.focus();
  }

  form.addEventListener('submit', (event) => {
    event.preventDefault();
    void (async () => {
      setKey(input.value.trim());
      go.disabled = true;
      try {
        await request('/api/v1/lab');
        setHidden(form, true);
        accepted();
      } catch (e) {
        const denied = e instanceof ApiError && (e.status === 401 || e.status === 403);
        setKey('');
        show(denied ? deniedSentence(e) : `The lab did not answer: ${(e as Error).message}`);
      } finally {
        go.disabled = false;
      }
    })();
  });

  return { el: form, show, hide: () => setHidden(form, true), has: () => key() !== '' };
}

export function deniedSentence(e: ApiError): string {
  if (e.status === 403) return `This key may not see the lab. ${e.problem.hint ?? ''}`.trim();
  const detail = e.problem.detail ? ` (${e.problem.detail})` : '';
  return `The lab does not know this key${detail}. Check it, or make one with: ${kCommands.key}`;
}
