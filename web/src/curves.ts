// Loss curves, fetched when someone looks at them and kept fresh while the job runs.
import { get } from './api';
import type { Curve, CurvePoint, Job } from './wire';

const kFresh_ms = 4000;
const kMostKept = 12;

interface Kept {
  points: CurvePoint[];
  asked: number; // performance.now() of the newest request
  step: number; // job's step then
  busy: boolean;
}

export class Curves {
  private kept = new Map<string, Kept>();

  /** What is known now; `changed` is called when more has come. */
  of(job: Job, changed: () => void): CurvePoint[] {
    let k = this.kept.get(job.id);
    if (!k) {
      k = { points: [], asked: -Infinity, step: -1, busy: false };
      this.kept.set(job.id, k);
      const oldest = this.kept.keys().next().value;
      if (this.kept.size > kMostKept && oldest !== undefined) this.kept.delete(oldest);
    }
    const step = job.progress?.step ?? 0;
    if (!k.busy && step !== k.step && performance.now() - k.asked > kFresh_ms) {
      void this.fetch(job.id, step, k, changed);
    }
    return k.points;
  }

  private async fetch(id: string, step: number, k: Kept, changed: () => void): Promise<void> {
    k.busy = true;
    k.asked = performance.now();
    try {
      const curve = await get<Curve>(`/api/v1/jobs/${encodeURIComponent(id)}/curve`);
      k.points = curve.points;
      k.step = step;
      changed();
    } catch {
      // the next view asks again
    } finally {
      k.busy = false;
    }
  }
}
