// Talking to the lab: the key, requests, and streams of server-sent events. EventSource cannot send
// a header, so streams are read with fetch; both reconnect with growing pauses and jitter.
import type { Problem } from './wire';

const kKeyName = 'weir.key';
const kFirstPause_ms = 500;
const kLongestPause_ms = 8000;
// The server sends something (an event or a comment) at least this often; else the line is dead.
const kSilence_ms = 45000;
const kMostBuffered = 64 * 1024 * 1024;

export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly problem: Partial<Problem>,
  ) {
    super(problem.detail || problem.title || `the lab answered ${status}`);
  }
}

/** A key in the address (#key=...) is taken and removed from the address at once. */
export function takeKeyFromAddress(): void {
  const m = /^#key=(.+)$/.exec(location.hash);
  if (!m) return;
  history.replaceState(null, '', location.pathname + location.search);
  let key = m[1]!;
  try {
    key = decodeURIComponent(key);
  } catch {
    // not percent-encoded: it is the key as it stands
  }
  setKey(key);
}

export function key(): string {
  return sessionStorage.getItem(kKeyName) ?? '';
}

export function setKey(value: string): void {
  if (value) sessionStorage.setItem(kKeyName, value);
  else sessionStorage.removeItem(kKeyName);
}

async function problemOf(response: Response): Promise<ApiError> {
  let problem: Partial<Problem> = {};
  try {
    const body: unknown = await response.json();
    if (body && typeof body === 'object') {
      // problem+json from /api, {"error":{"message":...}} from /v1
      const error = (body as { error?: { message?: string } }).error;
      problem = error?.message ? { detail: error.message } : (body as Partial<Problem>);
    }
  } catch {
    // no JSON: the status says enough
  }
  return new ApiError(response.status, problem);
}

function authorized(init: RequestInit = {}): RequestInit {
  const headers = new Headers(init.headers);
  if (key()) headers.set('Authorization', `Bearer ${key()}`);
  return { ...init, headers, cache: 'no-store', credentials: 'omit' };
}

export async function request(path: string, init: RequestInit = {}): Promise<Response> {
  const response = await fetch(path, authorized(init));
  if (!response.ok) throw await problemOf(response);
  return response;
}

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await (await request(path, signal ? { signal } : {})).json()) as T;
}

export interface SseEvent {
  event: string;
  data: string;
  id: string;
}

/** Cuts a stream of text into server-sent events; `push` may be given any pieces. */
export class SseParser {
  private rest = '';
  private event = '';
  private data: string[] = [];
  private id = '';

  push(text: string): SseEvent[] {
    const out: SseEvent[] = [];
    this.rest += text;
    let from = 0;
    for (;;) {
      const end = this.rest.indexOf('\n', from);
      if (end < 0) break;
      let line = this.rest.slice(from, end);
      from = end + 1;
      if (line.endsWith('\r')) line = line.slice(0, -1);
      if (line === '') {
        if (this.data.length) {
          out.push({ event: this.event || 'message', data: this.data.join('\n'), id: this.id });
        }
        this.event = '';
        this.data = [];
        continue;
      }
      const colon = line.indexOf(':');
      if (colon === 0) continue; // a comment keeps the line alive
      const field = colon < 0 ? line : line.slice(0, colon);
      let value = colon < 0 ? '' : line.slice(colon + 1);
      if (value.startsWith(' ')) value = value.slice(1);
      if (field === 'data') this.data.push(value);
      else if (field === 'event') this.event = value;
      else if (field === 'id') this.id = value;
    }
    this.rest = this.rest.slice(from);
    if (this.rest.length > kMostBuffered) throw new Error('an event without an end');
    return out;
  }
}

/** Reads one answer to its end. `alive` is called for every piece, comments too. */
export async function readEvents(
  response: Response,
  onEvent: (e: SseEvent) => void,
  alive: () => void = () => {},
): Promise<void> {
  const reader = response.body!.getReader();
  const decoder = new TextDecoder();
  const parser = new SseParser();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    alive();
    for (const e of parser.push(decoder.decode(value, { stream: true }))) onEvent(e);
  }
}

export interface StreamHandlers {
  /** Asked before each connection, so that a stream goes on where it was. */
  path: () => string;
  onOpen?: () => void;
  onEvent: (e: SseEvent) => void;
  onLost?: (error: unknown) => void;
  /** The key is not (or no longer) good: the stream ends and does not come back by itself. */
  onDenied: (error: ApiError) => void;
}

/** Keeps a stream open until the returned function is called. */
export function stream(handlers: StreamHandlers): () => void {
  let stopped = false;
  let controller = new AbortController();
  let wake: (() => void) | undefined;

  const hurry = () => wake?.();
  window.addEventListener('online', hurry);

  void (async () => {
    let pause = kFirstPause_ms;
    while (!stopped) {
      controller = new AbortController();
      let silence: ReturnType<typeof setTimeout> | undefined;
      const alive = () => {
        clearTimeout(silence);
        silence = setTimeout(() => controller.abort(), kSilence_ms);
      };
      let lost: unknown = new Error('the lab closed the connection');
      try {
        alive();
        const response = await request(handlers.path(), {
          signal: controller.signal,
          headers: { Accept: 'text/event-stream' },
        });
        handlers.onOpen?.();
        await readEvents(
          response,
          (e) => {
            pause = kFirstPause_ms;
            if (!stopped) handlers.onEvent(e);
          },
          alive,
        );
      } catch (error) {
        lost = error;
      } finally {
        clearTimeout(silence);
      }
      if (stopped) return;
      if (lost instanceof ApiError && (lost.status === 401 || lost.status === 403)) {
        handlers.onDenied(lost);
        return;
      }
      handlers.onLost?.(lost);
      await new Promise<void>((resolve) => {
        wake = resolve;
        setTimeout(resolve, pause * (0.75 + 0.5 * Math.random()));
      });
      pause = Math.min(pause * 2, kLongestPause_ms);
    }
  })();

  return () => {
    stopped = true;
    window.removeEventListener('online', hurry);
    controller.abort();
    hurry();
  };
}
