// Light, dark or as the system says; plots ask for colours by name, so that a change repaints them.

type Choice = 'system' | 'light' | 'dark';
const kName = 'weir.theme';
const listeners = new Set<() => void>();
const dark = matchMedia('(prefers-color-scheme: dark)');
const cache = new Map<string, string>();

export function choice(): Choice {
  const c = localStorage.getItem(kName);
  return c === 'light' || c === 'dark' ? c : 'system';
}

export function isDark(): boolean {
  return choice() === 'dark' || (choice() === 'system' && dark.matches);
}

function apply(): void {
  document.documentElement.dataset['theme'] = isDark() ? 'dark' : 'light';
  cache.clear();
  for (const f of listeners) f();
}

export function startTheme(): void {
  dark.addEventListener('change', apply);
  apply();
}

export function toggleTheme(): void {
  const next: Choice = isDark() ? 'light' : 'dark';
  // back to what the system says is back to following it
  if ((next === 'dark') === dark.matches) localStorage.removeItem(kName);
  else localStorage.setItem(kName, next);
  apply();
}

export function onTheme(f: () => void): () => void {
  listeners.add(f);
  return () => listeners.delete(f);
}

/** The value of a custom property, such as color('--ink-2'). */
export function color(name: string): string {
  let value = cache.get(name);
  if (value === undefined) {
    value = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    cache.set(name, value);
  }
  return value;
}
