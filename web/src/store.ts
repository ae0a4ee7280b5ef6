// The newest view of the lab, what was seen of its traffic, and the lab's clock. The rest of the
// page reads from here and is told when something changed.
import { ApiError, stream } from './api';
import { Ring } from './ring';
import type { LabView, ServiceView } from './wire';

export const kHistory_s = 600;
const kMostPoints = 1300; // ten minutes at two samples a second, and some
const kSampleEvery_s = 0.5;
const kKeptName = 'weir.history'; // what was seen, for after a reload of the page

// Columns of a service's history.
export enum Col {
  kAt,
  kArrivals,
  kCapacity,
  kQueued,
  kTtft,
  kTpot,
  kRefused,
  kReady,
  kCount,
}

export interface Connection {
  state: 'connecting' | 'live' | 'lost' | 'denied';
  /** Lab time of the newest view; 0 = none yet. */
  seen_us: number;
  error: string;
}

export class Store {
  view: LabView | null = null;
  connection: Connection = { state: 'connecting', seen_us: 0, error: '' };
  private history = new Map<string, Ring>();
  private onView = new Set<(v: LabView) => void>();
  private onConnection = new Set<(c: Connection) => void>();
  private stopStream: (() => void) | null = null;
  // lab clock = performance.now() * 1000 + offset
  private offset_us = 0;
  private frame = 0;

  /** The lab's clock, in microseconds, running on between views while the lab is in reach. */
  now_us(): number {
    if (!this.view) return Date.now() * 1000;
    if (this.connection.state === 'lost') return this.connection.seen_us;
    return performance.now() * 1000 + this.offset_us;
  }

  constructor() {
    window.addEventListener('pagehide', () => this.keep());
  }

  subscribe(onView: (v: LabView) => void): void {
    this.onView.add(onView);
    if (this.view) onView(this.view);
  }

  subscribeConnection(f: (c: Connection) => void): void {
    this.onConnection.add(f);
    f(this.connection);
  }

  historyOf(service: string): Ring | undefined {
    return this.history.get(service);
  }

  start(onDenied: (e: ApiError) => void): void {
    this.stop();
    this.setConnection({ state: 'connecting', seen_us: this.connection.seen_us, error: '' });
    this.stopStream = stream({
      path: () => '/api/v1/events',
      onEvent: (e) => {
        if (e.event === 'lab') this.take(JSON.parse(e.data) as LabView);
      },
      onLost: (error) => {
        this.hole();
        this.setConnection({
          state: 'lost',
          seen_us: this.view?.now_us ?? 0,
          error: error instanceof Error ? error.message : String(error),
        });
      },
      onDenied: (error) => {
        this.setConnection({ state: 'denied', seen_us: 0, error: error.message });
        onDenied(error);
      },
    });
  }

  stop(): void {
    this.stopStream?.();
    this.stopStream = null;
    // a view that came just before must not open the page again
    clearTimeout(this.frame);
    this.frame = 0;
  }

  private keep(): void {
    if (!this.view) return;
    const services = [...this.history].map(([id, ring]) => [id, ring.save()]);
    try {
      sessionStorage.setItem(kKeptName, JSON.stringify({ lab: this.view.lab, services }));
    } catch {
      sessionStorage.removeItem(kKeptName); // too much for the browser: the charts begin anew
    }
  }

  private remember(view: LabView): void {
    const kept = sessionStorage.getItem(kKeptName);
    sessionStorage.removeItem(kKeptName);
    if (!kept) return;
    const { lab, services } = JSON.parse(kept) as {
      lab: string;
      services: [string, (number | null)[][]][];
    };
    if (lab !== view.lab) return;
    for (const [id, columns] of services) {
      const ring = new Ring(Col.kCount, kMostPoints);
      ring.restore(columns);
      // the first view may be the one that was seen last; samples from the future are another lab's
      if (!(ring.last(Col.kAt) < view.now_us / 1e6 + 1)) continue;
      this.history.set(id, ring);
    }
    this.hole();
  }

  private take(view: LabView): void {
    if (!this.view) this.remember(view);
    this.view = view;
    this.offset_us = view.now_us - performance.now() * 1000;
    for (const s of view.services) this.sample(view.now_us / 1e6, s);
    for (const id of this.history.keys()) {
      if (!view.services.some((s) => s.service.id === id)) this.history.delete(id);
    }
    if (this.connection.state !== 'live') {
      this.setConnection({ state: 'live', seen_us: view.now_us, error: '' });
    }
    this.connection.seen_us = view.now_us;
    // several views may come in one piece: show the newest once
    this.frame ||= window.setTimeout(() => {
      this.frame = 0;
      if (this.view) for (const f of this.onView) f(this.view);
    }, 0);
  }

  private sample(at: number, s: ServiceView): void {
    let ring = this.history.get(s.service.id);
    if (!ring) this.history.set(s.service.id, (ring = new Ring(Col.kCount, kMostPoints)));
    if (at < ring.last(Col.kAt) + kSampleEvery_s) return;
    const t = s.traffic;
    const none = (x: number) => (x > 0 ? x : NaN); // latencies: 0 = no sample
    ring.push([
      at,
      t.arrivals_per_s,
      t.capacity_per_s,
      t.queued,
      none(t.ttft_ms),
      none(t.tpot_ms),
      t.refused_per_s,
      s.ready,
    ]);
  }

  private hole(): void {
    for (const ring of this.history.values()) {
      if (ring.length) ring.push([ring.last(Col.kAt) + 0.001]);
    }
  }

  private setConnection(c: Connection): void {
    this.connection = c;
    for (const f of this.onConnection) f(c);
  }
}
