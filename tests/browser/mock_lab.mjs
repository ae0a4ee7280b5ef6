// A lab played from a script: enough of one for the dashboard to show everything that it can show.
// It has its own clock and moves only in step(), so ten minutes can be played in a blink. It is not
// the scheduler and shares nothing with it: it only speaks the same JSON (src/wire/view.h).
import { createHash } from 'node:crypto';

const sha = (text) => createHash('sha256').update(text).digest('hex');

export const kDefaults = {
  nodes: 1,
  slotsPerNode: 8,
  base: 2.4, // requests per second
  surge: 24,
  perReplica: 6.5, // what one replica serves per second
  openAfter: 3, // seconds of surge until a loan opens
  readyAfter: 4, // from a lease to its replica being ready
  drainAfter: 2.5,
  recallAfter: 8, // of low demand
  loanLimit: 120,
  seed: 1,
  hostile: '', // put into names and texts, to see that it stays text
};

export class MockLab {
  constructor(options = {}) {
    this.o = { ...kDefaults, ...options };
    this.now = options.start_us ?? Date.now() * 1000;
    this.started = this.now - 184e6;
    this.state = this.o.seed;
    this.ids = { lease: 0, loan: 0, rollout: 0 };
    this.demand = this.o.base;
    this.script = [];
    this.records = [];
    this.listeners = new Set();
    this.trouble = '';
    this.draining = false;
    this.timers = [];
    this.build();
  }

  random() {
    this.state = (Math.imul(this.state, 1664525) + 1013904223) >>> 0;
    return this.state / 2 ** 32;
  }

  // ---- the start ----

  build() {
    const { nodes, slotsPerNode, hostile } = this.o;
    this.slots = [];
    for (let n = 0; n < nodes; ++n) {
      const node = nodes === 1 ? 'here' : `node-${String(n).padStart(3, '0')}`;
      for (let i = 0; i < slotsPerNode; ++i) {
        this.slots.push({
          id: `local/${node}/${i}`,
          site: 'local',
          node,
          index: i,
          health: 'up',
          why: '',
          cores: [i % 2],
          core_share: 0.25,
        });
      }
    }
    const total = this.slots.length;
    this.teams = [
      team('research', 'research', { guarantee_slots: total - 2, lend_limit_slots: -1 }),
      team('product', 'product', { guarantee_slots: 2 }),
    ];
    this.versions = [];
    this.leases = [];
    this.loans = [];
    this.rollouts = [];
    const data = sha('documents');
    this.datasets = [
      {
        id: 'ds-' + data.slice(0, 8),
        name: 'debian-docs',
        sha256: data,
        path: '/var/lib/weir/datasets/debian-docs',
        bytes: 48300912,
        report: {
          files_taken: 3812,
          files_dropped: 241,
          lines_deduplicated: 402118,
          documents: 3571,
          dropped: { binary: 188, not_utf8: 31, empty: 22 },
        },
        created_us: this.now - 176e6,
        created_by: 'weir',
      },
    ];
    this.jobs = [
      this.job('job-1', 'build-debian-docs', {
        phase: 'done',
        ended_us: this.now - 176e6,
        started_us: this.now - 183e6,
        exit_code: 0,
        slot_s: 7.2,
      }),
      this.job('job-2', 'first-story', { min_slots: 1, max_slots: 5, checkpointable: true }),
      this.job('job-3', 'ablation-lr' + hostile, { min_slots: 1, max_slots: 1 }),
      this.job('job-4', 'sweep-warmup', {
        phase: 'queued',
        min_slots: 4,
        max_slots: 4,
        reason: 'It needs 4 slots at once; 1 is idle, and research has its share in use.',
      }),
      this.job('job-5', 'tokenizer-probe', {
        phase: 'failed',
        started_us: this.now - 120e6,
        ended_us: this.now - 96e6,
        exit_code: 1,
        failures: 3,
        attempts: 3,
        reason: 'It exited with 1 three times; it had 2 retries.',
        last_lines: [
          'Traceback (most recent call last):',
          '  File "probe.py", line 14, in <module>',
          '    vocab = json.load(open(path))',
          "FileNotFoundError: [Errno 2] No such file or directory: 'vocab.json'" + hostile,
        ],
      }),
    ];
    this.train = this.jobs[1];
    this.curve = [];
    this.step_ = 0;
    this.training = 0;
    this.version(1, 400, 3.21);
    this.service = {
      id: 'svc-1',
      spec: {
        name: 'story',
        team: 'product',
        model: 'first-story',
        command: [],
        env: {},
        min_replicas: 1,
        max_replicas: 5,
        slots_per_replica: 1,
        health_path: '/healthz',
        slo: { ttft_ms: 800, tpot_ms: 60, queue_ms: 2000, percentile: 95 },
        tier: 1,
        max_queue: 64,
        max_concurrency: 8,
        follow: true,
        memory_limit_bytes: 0,
        grace_us: 20e6,
        variants: ['first-story-q4@1'],
        engine: ['--ctx=2048'],
      },
      phase: 'active',
      created_by: 'weir',
      created_us: this.now - 90e6,
      version: 'first-story@1',
      rollout: '',
      shed_above_tier: 0,
      reason: 'One replica holds 2.4 requests/s with 63% to spare.',
    };
    this.traffic = {
      arrivals_per_s: this.o.base,
      completions_per_s: this.o.base,
      forecast_per_s: this.o.base,
      outstanding: 1,
      queued: 0,
      ttft_ms: 140,
      tpot_ms: 21,
      tokens_per_s: 150,
      refused_per_s: 0,
      errors_per_s: 0,
      capacity_per_s: this.o.perReplica,
      slo_met: true,
    };
    this.low = 0;
    this.high = 0;

    const free = () => this.idle();
    this.give('product', free().slice(0, 1), { version: 'first-story@1' });
    this.run(this.train, free().slice(0, 5));
    this.run(this.jobs[2], free().slice(0, 1));
    // a big lab is mostly busy: more jobs until a tenth is left
    for (let i = 0; free().length > Math.max(1, total / 10); ++i) {
      const size = Math.min([8, 16, 4, 32][i % 4], free().length);
      const j = this.job(`job-${10 + i}`, `pretrain-${i}`, { min_slots: 1, max_slots: size });
      this.jobs.push(j);
      this.run(j, free().slice(0, size));
    }
    if (total > 64) {
      Object.assign(this.slots[total - 1], { health: 'down', why: 'no answer for 40 s' });
      Object.assign(this.slots[total - 2], { health: 'cordoned', why: 'cordoned by admin: fan' });
    }
    this.record('lab.started', ['lab'], 'The lab started: 8 slots that are shares of 2 cores.', {
      slots: total,
    });
    this.record('dataset.registered', ['debian-docs'], 'Dataset debian-docs is built and hashed.', {
      files: 3571,
      MiB: 46,
    });
    this.record(
      'job.started',
      ['job-2', 'first-story'],
      'first-story starts on 5 slots: research has them idle and it asks for 1 to 5.',
      { slots: 5 },
    );
    this.record(
      'model.registered',
      ['first-story@1', 'job-2'],
      'Checkpoint 400 passes the gate: held-out loss 3.210 is under half of ln(4096) = 4.159.',
      { heldout_loss: 3.21, bar: 4.159 },
    );
    this.record('service.deployed', ['svc-1', 'story'], 'story serves first-story@1.', {});
    this.record(
      'job.queued',
      ['job-4', 'sweep-warmup' + hostile],
      'sweep-warmup waits: a gang of 4 does not fit on 1 idle slot.' + hostile,
      { wanted: 4, idle: 1 },
      'ana',
    );
  }

  job(id, name, more = {}) {
    const { min_slots = 1, max_slots = 1, checkpointable = false, ...rest } = more;
    return {
      id,
      spec: {
        name,
        team: 'research',
        command: ['python3', 'train.py', '--name', name],
        env: {},
        cwd: '',
        min_slots,
        max_slots,
        checkpointable,
        checkpoint_interval_us: 30e6,
        priority: 0,
        time_limit_us: 0,
        memory_limit_bytes: 0,
        max_retries: 2,
        grace_us: 20e6,
      },
      phase: 'queued',
      reason: '',
      last_lines: [],
      submitted_by: id === 'job-1' || id === 'job-2' ? 'weir' : 'ana',
      submitted_us: this.now - 184e6 + 4e6 * Number(id.slice(4)),
      started_us: 0,
      ended_us: 0,
      not_before_us: 0,
      attempts: 1,
      failures: 0,
      lease: '',
      slots: 0,
      slot_s: 0,
      lost_slot_s: 0,
      lost_steps: 0,
      folder: `/var/lib/weir/jobs/${id}`,
      ...rest,
    };
  }

  version(number, step, heldout) {
    const id = `first-story@${number}`;
    this.versions.push({
      id,
      model: 'first-story',
      number,
      path: `/var/lib/weir/models/first-story/${number}`,
      sha256: sha(id),
      parent: number > 1 ? `first-story@${number - 1}` : '',
      job: 'job-2',
      step,
      dataset_sha256: this.datasets[0].sha256,
      config_sha256: sha('config'),
      code_version: '0.1.0',
      heldout_loss: heldout,
      vocab_size: 4096,
      gate: `held-out ${heldout.toFixed(3)} is under 4.159, half of ln(4096)`,
      created_us: this.now,
    });
    return id;
  }

  // ---- leases ----

  idle() {
    const held = new Set(this.leases.filter((l) => l.phase !== 'ended').flatMap((l) => l.slots));
    return this.slots.filter((s) => s.health === 'up' && !held.has(s.id)).map((s) => s.id);
  }

  lease(more) {
    const lease = {
      id: `lease-${++this.ids.lease}`,
      holder_kind: 'job',
      holder: '',
      team: 'research',
      slots: [],
      phase: 'active',
      opened_us: this.now,
      active_us: this.now,
      stop_asked_us: 0,
      ended_us: 0,
      stop_cause: 'none',
      why: '',
      loan: '',
      service: '',
      version: '',
      ready: false,
      port: 0,
      replaces: '',
      ...more,
    };
    this.leases.push(lease);
    return lease;
  }

  run(job, slots, why = 'idle slots, within its share') {
    const lease = this.lease({ holder: job.id, slots, why });
    Object.assign(job, { phase: 'running', slots: slots.length, lease: lease.id, reason: '' });
    job.started_us ||= this.now;
  }

  give(
    teamName,
    slots,
    { version, loan = '', ready = true, why = "product's floor", replaces = '' },
  ) {
    return this.lease({
      holder_kind: 'replica',
      holder: 'svc-1',
      team: teamName,
      slots,
      service: 'story',
      version,
      loan,
      ready,
      why,
      replaces,
      phase: ready ? 'active' : 'intended',
      port: 40000 + this.ids.lease,
    });
  }

  end(lease) {
    lease.phase = 'ended';
    lease.ended_us = this.now;
    this.leases = this.leases.filter((l) => l !== lease);
  }

  replicas() {
    return this.leases.filter((l) => l.holder_kind === 'replica');
  }

  // ---- journal ----

  record(type, subjects, text, numbers = {}, actor = 'weir') {
    const r = {
      seq: this.records.length + 1,
      at_us: Math.round(this.now),
      actor,
      type,
      subjects,
      text,
      numbers,
      body: {},
    };
    this.records.push(r);
    for (const f of this.listeners) f(r);
  }

  after(seconds, f) {
    this.timers.push({ at: this.now + seconds * 1e6, f });
  }

  // ---- what happens ----

  surge() {
    this.demand = this.o.surge;
  }
  fall() {
    this.demand = this.o.base;
  }

  resizeTraining(slots, how) {
    const old = this.leases.find((l) => l.id === this.train.lease);
    if (!old || old.phase === 'stopping') return;
    Object.assign(old, { phase: 'stopping', stop_asked_us: this.now, stop_cause: 'resize' });
    this.record(
      'lease.stopping',
      [old.id, 'job-2'],
      `first-story saves at step ${this.step_} and goes from ${old.slots.length} to ${slots.length} slots (${how}).`,
      { from: old.slots.length, to: slots.length },
    );
    this.after(1.5, () => {
      this.end(old);
      this.run(this.train, slots, how === 'shrink' ? 'shrunk for a loan' : 'its slots came back');
      this.train.attempts += 1;
      this.train.checkpoint = {
        step: this.step_,
        path: 'checkpoints/' + this.step_,
        sha256: sha('c' + this.step_),
        at_us: this.now,
      };
    });
  }

  openLoan() {
    const lent = this.leases.find((l) => l.id === this.train.lease).slots.slice(-2);
    const idle = this.idle().slice(0, 1);
    const loan = {
      id: `loan-${++this.ids.loan}`,
      service: 'story',
      team: 'product',
      parts: [
        ...(idle.length ? [part('research', '', idle, 'idle')] : []),
        part('research', 'job-2', lent, 'shrink'),
      ],
      phase: 'open',
      why:
        `${this.traffic.arrivals_per_s.toFixed(1)} requests/s arrive, ` +
        `${this.traffic.capacity_per_s.toFixed(1)}/s can be served; ` +
        `TTFT p95 is over its SLO of 800 ms and no own slot is left.`,
      opened_us: this.now,
      due_us: this.now + this.o.loanLimit * 1e6,
      first_ready_us: 0,
      recalled_us: 0,
      recall_why: '',
      returned_us: 0,
      cost_slot_s: 0,
      cost_steps: 0,
    };
    this.loan = loan;
    this.loans.push(loan);
    this.service.reason = loan.why;
    this.record('loan.opened', [loan.id, 'story', 'first-story'], loan.why, {
      arrivals_per_s: +this.traffic.arrivals_per_s.toFixed(1),
      capacity_per_s: +this.traffic.capacity_per_s.toFixed(1),
      slots: idle.length + lent.length,
      limit_s: this.o.loanLimit,
    });
    const keep = this.leases.find((l) => l.id === this.train.lease).slots.slice(0, -2);
    this.resizeTraining(keep, 'shrink');
    const start = (slot) => {
      const lease = this.give('product', [slot], {
        version: this.service.version,
        loan: loan.id,
        ready: false,
        why: `on ${loan.id}: demand asks for 4 replicas`,
      });
      this.after(0.7, () => (lease.phase = 'active'));
      this.after(this.o.readyAfter, () => {
        lease.ready = true;
        lease.active_us = this.now;
        loan.first_ready_us ||= this.now;
        this.record('replica.ready', [lease.id, 'story'], `A replica on ${slot} is ready.`, {});
      });
    };
    idle.forEach(start);
    this.after(1.8, () => lent.forEach(start));
  }

  recall() {
    const loan = this.loan;
    loan.phase = 'recalled';
    loan.recalled_us = this.now;
    loan.recall_why = `Demand fell to ${this.traffic.arrivals_per_s.toFixed(1)} requests/s, which the own slots hold.`;
    this.service.reason = loan.recall_why;
    this.record('loan.recalled', [loan.id, 'story'], loan.recall_why, {
      arrivals_per_s: +this.traffic.arrivals_per_s.toFixed(1),
    });
    for (const l of this.replicas().filter((l) => l.loan === loan.id)) {
      Object.assign(l, { phase: 'stopping', stop_asked_us: this.now, stop_cause: 'drain' });
    }
    this.after(this.o.drainAfter, () => {
      for (const l of this.replicas().filter((l) => l.loan === loan.id)) this.end(l);
      loan.phase = 'returned';
      loan.returned_us = this.now;
      loan.parts.forEach((p) => {
        if (p.job) Object.assign(p, { steps_lost: 14, work_lost_slot_s: 6.2 });
      });
      const n = loan.parts.reduce((sum, p) => sum + p.slots.length, 0);
      loan.cost_slot_s = (n * (this.now - loan.opened_us)) / 1e6 + 6.2;
      loan.cost_steps = 14;
      this.record(
        'loan.returned',
        [loan.id, 'story', 'first-story'],
        `${n} slots are back with research after ${Math.round((this.now - loan.opened_us) / 1e6)} s.`,
        { cost_slot_s: Math.round(loan.cost_slot_s), cost_steps: 14 },
      );
      this.loan = null;
      const own = this.leases.find((l) => l.id === this.train.lease).slots;
      const lent = loan.parts.filter((p) => p.job).flatMap((p) => p.slots);
      this.resizeTraining([...own, ...lent], 'grow');
    });
  }

  rollout() {
    const number = this.versions.length + 1;
    const heldout = Math.max(1.9, 3.21 - 0.35 * (number - 1));
    const from = this.service.version;
    const to = this.version(number, this.step_, heldout);
    const r = {
      id: `rollout-${++this.ids.rollout}`,
      service: 'story',
      from,
      to,
      phase: 'running',
      moved: 0,
      failures: 0,
      why: `${to} is better by 0.350 nats per token`,
      started_us: this.now,
      ended_us: 0,
    };
    this.rollouts.push(r);
    this.service.rollout = r.id;
    this.service.version = to;
    this.record('rollout.started', ['story', to, from], `story moves to ${to}: ${r.why}.`, {
      heldout_loss: +heldout.toFixed(3),
      better_by: 0.35,
    });
    const step = () => {
      const old = this.replicas().find((l) => l.version === from && l.phase === 'active');
      if (!old) {
        Object.assign(r, { phase: 'done', ended_us: this.now });
        this.service.rollout = '';
        this.record('rollout.done', ['story', to], `Every replica of story serves ${to}.`, {
          moved: r.moved,
        });
        return;
      }
      const next = this.give(old.team, old.slots, {
        version: to,
        loan: old.loan,
        ready: false,
        why: 'rollout',
        replaces: old.id,
      });
      this.after(this.o.readyAfter, () => {
        next.phase = 'active';
        next.ready = true;
        old.phase = 'stopping';
        r.moved += 1;
        this.after(1, () => {
          this.end(old);
          step();
        });
      });
    };
    step();
  }

  // ---- time ----

  /** Plays `seconds` of the lab. */
  step(seconds) {
    this.now += seconds * 1e6;
    const due = this.timers.filter((t) => t.at <= this.now);
    this.timers = this.timers.filter((t) => t.at > this.now);
    due.forEach((t) => t.f());
    while (this.script.length && this.script[0].at <= this.now) this.script.shift().f();

    const t = this.traffic;
    const noise = (x) => x * (1 + 0.12 * (this.random() - 0.5));
    t.arrivals_per_s += (noise(this.demand) - t.arrivals_per_s) * Math.min(1, seconds * 0.9);
    t.forecast_per_s = t.arrivals_per_s * 1.05;
    const ready = this.replicas().filter((l) => l.ready && l.phase === 'active').length;
    t.capacity_per_s = ready * this.o.perReplica;
    t.queued = Math.max(0, t.queued + (t.arrivals_per_s - t.capacity_per_s) * seconds);
    t.refused_per_s = t.queued > 64 ? t.arrivals_per_s - t.capacity_per_s : 0;
    t.queued = Math.round(Math.min(64, t.queued) * 100) / 100;
    const load = Math.min(1, t.arrivals_per_s / Math.max(1, t.capacity_per_s));
    const wait = (t.queued / Math.max(1, t.capacity_per_s)) * 1000;
    t.ttft_ms = noise(95 + 160 * load * load + wait);
    t.tpot_ms = noise(17 + 22 * load);
    t.completions_per_s = Math.min(t.arrivals_per_s, t.capacity_per_s);
    t.tokens_per_s = t.completions_per_s * 62;
    t.outstanding = Math.round(load * ready * 6);
    t.slo_met = t.ttft_ms <= 800 && t.tpot_ms <= 60;

    const high = t.arrivals_per_s > 1.2 * this.o.perReplica;
    this.high = high ? this.high + seconds : 0;
    this.low = t.arrivals_per_s < 0.8 * this.o.perReplica ? this.low + seconds : 0;
    if (!this.loan && this.high > this.o.openAfter) this.openLoan();
    const late = this.loan?.phase === 'open' && this.now > this.loan.due_us - 4e6;
    if (this.loan?.phase === 'open' && (this.low > this.o.recallAfter || late)) this.recall();

    // training
    const lease = this.leases.find((l) => l.id === this.train.lease);
    const going = lease && lease.phase === 'active' ? lease.slots.length : 0;
    this.training += going * seconds * 1.6;
    this.train.slots = lease ? lease.slots.length : 0;
    while (this.step_ + 4 <= this.training) {
      this.step_ += 4;
      const loss = 1.85 + 6.4 / (1 + this.step_ / 90) + 0.06 * (this.random() - 0.5);
      const point = {
        at_us: Math.round(this.now),
        step: this.step_,
        loss,
        tokens_per_s: going * 2150,
        slots: going,
      };
      if (this.step_ % 100 === 0) {
        point.heldout_loss = 1.93 + 6.35 / (1 + this.step_ / 90);
        this.held = point.heldout_loss;
      }
      this.curve.push(point);
      if (this.curve.length > 2000) this.curve = this.curve.filter((_, i) => i % 2 === 0);
      this.train.progress = {
        step: this.step_,
        steps: 12000,
        loss,
        ...(this.held ? { heldout_loss: this.held } : {}),
        tokens_per_s: going * 2150,
        mfu: 0.52,
        eta_s: (12000 - this.step_) / (going * 1.6),
        at_us: Math.round(this.now),
      };
    }
  }

  // Each team's place among the quotas, by the same rules as the lab's (QuotaView).
  quotas() {
    const slots = (leases) => leases.reduce((n, l) => n + l.slots.length, 0);
    const out = this.loans.filter((l) => l.phase !== 'returned').flatMap((l) => l.parts);
    return this.teams.map((t) => {
      const own = this.leases.filter((l) => l.team === t.name && l.replaces === '');
      const held = slots(own.filter((l) => l.loan === ''));
      const lent = slots(out.filter((p) => p.team === t.name));
      const research = t.class === 'research';
      return {
        team: t.name,
        entitled: research ? this.slots.length - 2 : 0,
        guarantee: t.guarantee_slots,
        held,
        lent,
        borrowed: research
          ? Math.max(0, held + lent - t.guarantee_slots)
          : slots(own.filter((l) => l.loan !== '')),
        waiting: research ? this.jobs.filter((j) => j.phase === 'queued').length : 0,
        used_slot_h: 0,
        used_usd: 0,
        note: '',
      };
    });
  }

  view() {
    const r = this.replicas();
    return {
      lab: 'first-lab',
      version: '0.1.0',
      now_us: Math.round(this.now),
      started_us: Math.round(this.started),
      journal_seq: this.records.length,
      draining: this.draining,
      trouble: this.trouble,
      teams: this.teams,
      quotas: this.quotas(),
      sites: [
        {
          name: 'local',
          driver: 'local',
          reachable: true,
          isolation: 'cgroup v2 cpu.max',
          power_w_per_slot: 9,
          price_usd_per_slot_h: 0.02,
        },
      ],
      slots: this.slots,
      jobs: this.jobs,
      leases: this.leases,
      services: [
        {
          service: this.service,
          own_version: this.own_version ?? this.service.version,
          ready: r.filter((l) => l.ready && l.phase === 'active').length,
          starting: r.filter((l) => !l.ready && l.phase !== 'stopping').length,
          draining: r.filter((l) => l.phase === 'stopping').length,
          wanted: Math.max(
            1,
            Math.min(5, Math.ceil(this.traffic.arrivals_per_s / this.o.perReplica)),
          ),
          traffic: this.traffic,
        },
      ],
      loans: this.loans,
      datasets: this.datasets,
      models: this.versions,
      rollouts: this.rollouts,
      pipelines: [
        {
          name: 'first-story',
          dataset: 'debian-docs',
          build: this.jobs[0].spec,
          dataset_path: '/var/lib/weir/datasets/debian-docs',
          train: this.train.spec,
          model: 'first-story',
          gate_share_of_uniform: 0.5,
          improve_by: 0.02,
          service: this.service.spec,
          paused: false,
        },
      ],
    };
  }

  why(kind, id) {
    const about = this.records.filter((r) => r.subjects.includes(id));
    const base = { blockers: [], could_change: '', history: about };
    if (kind === 'jobs') {
      const j = this.jobs.find((x) => x.id === id);
      if (!j) return null;
      const name = { kind: 'job', id, name: j.spec.name };
      if (j.phase === 'queued') {
        return {
          ...base,
          ...name,
          now: `${j.spec.name} waits for 4 slots.`,
          blockers: [
            {
              kind: 'gang',
              text: `It starts with 4 slots or not at all; ${this.idle().length} are idle.`,
              remedy: 'Submit it with --slots 1..4 to start smaller.',
            },
            ...(this.loan
              ? [
                  {
                    kind: 'lent',
                    text: `${this.loan.id} holds slots of research.`,
                    remedy: 'They come back when the surge ends, at the latest when it is due.',
                  },
                ]
              : []),
          ],
          expected_wait_s: 340,
          could_change: 'A job that ends, or more slots for research.',
        };
      }
      return {
        ...base,
        ...name,
        now: `${j.spec.name} is ${j.phase}${j.slots ? ` on ${j.slots} slots` : ''}.`,
        could_change: j.phase === 'running' ? 'A loan may shrink it to 1 slot.' : '',
      };
    }
    if (kind === 'services' && id === 'svc-1') {
      return { ...base, kind: 'service', id, name: 'story', now: this.service.reason };
    }
    const loan = this.loans.find((l) => l.id === id);
    if (kind !== 'loans' || !loan) return null;
    return {
      ...base,
      kind: 'loan',
      id,
      name: id,
      now: `${id} is ${loan.phase}.`,
      could_change: loan.phase === 'open' ? 'Demand below 5 requests/s for 8 s recalls it.' : '',
    };
  }
}

function team(name, cls, more) {
  return {
    name,
    class: cls,
    parent: '',
    guarantee_slots: 0,
    weight: 1,
    lend_limit_slots: -1,
    credit_slot_s: 0,
    ...more,
  };
}

function part(teamName, job, slots, how) {
  return { team: teamName, job, slots, work_lost_slot_s: 0, steps_lost: 0, how };
}
