// The JSON that the API sends, as declared in src/wire/lab.h and src/wire/view.h. Times are
// wall-clock microseconds (0 = never); optional fields are absent when there is nothing to tell.

export interface Team {
  name: string;
  class: 'research' | 'product';
  parent: string;
  guarantee_slots: number;
  weight: number;
  lend_limit_slots: number;
  credit_slot_s: number;
}

export interface QuotaView {
  team: string;
  entitled: number;
  guarantee: number;
  held: number;
  lent: number;
  borrowed: number;
  waiting: number;
  used_slot_h: number;
  used_usd: number;
  note: string;
}

export interface Slot {
  id: string;
  site: string;
  node: string;
  index: number;
  health: 'up' | 'cordoned' | 'down';
  why: string;
}

export interface Site {
  name: string;
  driver: string;
  reachable: boolean;
  isolation: string;
  price_usd_per_slot_h?: number;
  provider?: string;
  region?: string;
  draining?: boolean;
  why?: string;
  unknown_since_us?: number;
}

export interface JobSpec {
  name: string;
  team: string;
  command: string[];
  min_slots: number;
  max_slots: number;
  checkpointable: boolean;
  priority: number;
}

export interface Progress {
  step: number;
  steps: number;
  loss?: number;
  heldout_loss?: number;
  tokens_per_s?: number;
  mfu?: number;
  eta_s?: number;
  at_us: number;
}

export interface Checkpoint {
  step: number;
  path: string;
  sha256: string;
  heldout_loss?: number;
  at_us: number;
}

export type JobPhase = 'queued' | 'running' | 'paused' | 'done' | 'failed' | 'cancelled';

export interface Job {
  id: string;
  spec: JobSpec;
  phase: JobPhase;
  reason: string;
  last_lines: string[];
  submitted_by: string;
  submitted_us: number;
  started_us: number;
  ended_us: number;
  not_before_us: number;
  attempts: number;
  failures: number;
  lease: string;
  slots: number;
  slot_s: number;
  lost_slot_s: number;
  lost_steps: number;
  exit_code?: number;
  progress?: Progress;
  checkpoint?: Checkpoint;
  folder: string;
}

export interface Lease {
  id: string;
  holder_kind: 'job' | 'replica';
  holder: string;
  team: string;
  slots: string[];
  phase: 'intended' | 'active' | 'stopping' | 'ended';
  opened_us: number;
  active_us: number;
  stop_asked_us: number;
  ended_us: number;
  stop_cause: string;
  why: string;
  loan: string;
  service: string;
  version: string;
  ready: boolean;
  port: number;
  replaces: string;
}

export interface Slo {
  ttft_ms: number;
  tpot_ms: number;
  queue_ms: number;
  percentile: number;
}

export interface ServiceSpec {
  name: string;
  team: string;
  model: string;
  command: string[];
  min_replicas: number;
  max_replicas: number;
  slots_per_replica: number;
  slo: Slo;
  tier: number;
  max_queue: number;
  max_concurrency: number;
  follow: boolean;
  variants: string[];
  engine: string[];
}

export interface Service {
  id: string;
  spec: ServiceSpec;
  phase: 'active' | 'retiring' | 'retired';
  created_by: string;
  created_us: number;
  version: string;
  rollout: string;
  shed_above_tier: number;
  reason: string;
}

export interface Traffic {
  arrivals_per_s: number;
  completions_per_s: number;
  forecast_per_s: number;
  outstanding: number;
  queued: number;
  ttft_ms: number;
  tpot_ms: number;
  tokens_per_s: number;
  refused_per_s: number;
  errors_per_s: number;
  capacity_per_s: number;
  slo_met: boolean;
}

/** Requests by how long something took; counts are cumulative, the last border is 0: none. */
export interface LatencyView {
  border_ms: number[];
  count: number[];
}

/** The engines of a service's replicas, added up; counters since each began. */
export interface EngineView {
  replicas: number;
  running: number;
  max_batch: number;
  queued: number;
  kv_blocks_used: number;
  kv_blocks_cached: number;
  kv_blocks_free: number;
  prompt_tokens: number;
  prefix_hit_tokens: number;
  generated_tokens: number;
  drafted_tokens: number;
  accepted_tokens: number;
  ttft: LatencyView;
  tpot: LatencyView;
}

export interface ServiceView {
  service: Service;
  own_version: string;
  ready: number;
  starting: number;
  draining: number;
  wanted: number;
  traffic: Traffic;
}

export interface LoanPart {
  team: string;
  job: string;
  slots: string[];
  work_lost_slot_s: number;
  steps_lost: number;
  how: string;
}

export interface Loan {
  id: string;
  service: string;
  team: string;
  parts: LoanPart[];
  phase: 'open' | 'recalled' | 'returned';
  why: string;
  opened_us: number;
  due_us: number;
  first_ready_us: number;
  recalled_us: number;
  recall_why: string;
  returned_us: number;
  cost_slot_s: number;
  cost_steps: number;
}

export interface Dataset {
  id: string;
  name: string;
  sha256: string;
  path: string;
  bytes: number;
  report: unknown;
  created_us: number;
  created_by: string;
}

export interface ModelVersion {
  id: string;
  model: string;
  number: number;
  path: string;
  sha256: string;
  parent: string;
  job: string;
  step: number;
  dataset_sha256: string;
  config_sha256: string;
  code_version: string;
  heldout_loss?: number;
  vocab_size: number;
  gate: string;
  created_us: number;
}

export interface Rollout {
  id: string;
  service: string;
  from: string;
  to: string;
  phase: 'running' | 'done' | 'aborted';
  moved: number;
  failures: number;
  why: string;
  started_us: number;
  ended_us: number;
}

export interface Pipeline {
  name: string;
  dataset: string;
  build?: JobSpec;
  dataset_path: string;
  train?: JobSpec;
  model: string;
  gate_share_of_uniform: number;
  improve_by: number;
  service?: ServiceSpec;
  paused: boolean;
}

export interface LabView {
  lab: string;
  version: string;
  now_us: number;
  started_us: number;
  journal_seq: number;
  draining: boolean;
  trouble: string;
  teams: Team[];
  sites: Site[];
  slots: Slot[];
  jobs: Job[];
  leases: Lease[];
  services: ServiceView[];
  loans: Loan[];
  datasets: Dataset[];
  models: ModelVersion[];
  rollouts: Rollout[];
  pipelines: Pipeline[];
  quotas?: QuotaView[];
  expected_starts?: { job: string; at_us: number }[];
}

export interface JournalRecord {
  seq: number;
  at_us: number;
  actor: string;
  type: string;
  subjects: string[];
  text: string;
  numbers: Record<string, unknown>;
}

export interface JournalPage {
  records: JournalRecord[];
  next: number;
}

export interface WhyView {
  kind: string;
  id: string;
  name: string;
  now: string;
  blockers: { kind: string; text: string; remedy: string }[];
  expected_wait_s?: number;
  could_change: string;
  history: JournalRecord[];
}

export interface CurvePoint {
  at_us: number;
  step: number;
  loss: number;
  heldout_loss?: number;
  tokens_per_s: number;
  slots: number;
}

export interface Curve {
  job: string;
  points: CurvePoint[];
}

export interface Problem {
  title: string;
  status: number;
  detail: string;
  code: string;
  hint: string;
}

// ---- the market, as in src/lab/market/views.h ----
// Amounts are millionths of a currency; days are 2027-03-01, '' = not set; months count from 1970-01.

export interface Terms {
  accelerator: string;
  region: string;
  capacity: string;
  quantity: number;
  lot: number;
  currency: string;
  price_micro: number;
  term_months: number;
  lead_days: number;
  take_or_pay_ppm: number;
  prepay_ppm: number;
  notice_days: number;
  renews: boolean;
  early_exit_ppm: number;
  swaps: { accelerator: string; from_month: number }[];
  sla: { tiers: { below_ppm: number; credit_ppm: number }[] };
}

export interface Contract {
  id: string;
  provider: string;
  site: string;
  terms: Terms;
  quantity: number;
  start: string;
  signed_on: string;
  notice_on: string;
  deliveries: { promised: string; quantity: number; delivered: string }[];
  events: { on: string; what: string }[];
}

export interface ContractLine {
  view: {
    contract: Contract;
    phase: string;
    delivered: number;
    end: string;
    notice_by: string;
    price_micro: number;
  };
  spans: { phase: string; from: string; to: string }[];
  held: { on: string; quantity: number }[];
  still_owed_micro: number;
}

export interface OfferLine {
  view: {
    offer: {
      id: string;
      provider: string;
      name: string;
      terms: Terms;
      expires: string;
    };
    state: string;
  };
  quantity: number;
  start: string;
  end: string;
  commitment_micro: number;
  at_signing_micro: number;
  goodput: number;
  days_late: number;
  price: number;
  unused: number;
  timing: number;
  delivery: number;
  failures: number;
  rate: number;
  bridge: string;
  why_not: string;
  differs: string[];
}

export interface MarketView {
  today: string;
  currency: string;
  contracts: ContractLine[];
  owed: {
    month: number;
    accelerator_hours: number;
    worth_micro: number;
    at_least_micro: number;
    if_used_micro: number;
    prepaid_micro: number;
  }[];
  due: { on: string; of: string; kind: string; what: string }[];
  offers: OfferLine[];
  offers_open: number;
  providers: {
    provider: string;
    open_offers: number;
    contracts: number;
    due: number;
    late: number;
    mean_days_late: number;
  }[];
  notes: string[];
}

export interface LedgerView {
  ledger: {
    currency: string;
    entries: {
      month: number;
      contract: string;
      team: string;
      loan: string;
      slot_seconds: number;
      cost_micro: number;
    }[];
    months: {
      month: number;
      contract: string;
      had_seconds: number;
      used_seconds: number;
      used_micro: number;
      owed_micro: number;
      idle_micro: number;
    }[];
    loans: { loan: string; lender: string; cost_micro: number }[];
    uncovered_slot_seconds: number;
  };
  first_month: number;
  last_month: number;
  leases_since_us: number;
}

// ---- the plan, as in src/wire/plan.h ----

export interface PlanRival {
  name: string;
  what: string;
  mean_microusd: number;
  cvar_microusd: number;
  committed_microusd: number;
  on_demand_microusd: number;
  spot_microusd: number;
  not_done_microusd: number;
  floor_missed_h: number;
  research_missed: number;
  product_missed: number;
  cost_quantiles_microusd: number[];
  by_month?: Record<string, { month: string; asked: number; missed: number }[]>;
}

export interface PlanLadder {
  title: string;
  p10: number[];
  p50: number[];
  p90: number[];
  steps: { name: string; work: number[] }[];
}

export interface PlanDoc {
  title: string;
  start: string;
  months: number;
  futures: number;
  unseen: number;
  risk: number;
  tail: number;
  proof: { gap: number; by_cbc: boolean; sample_gap_95_microusd?: number[] };
  offers: {
    offer: string;
    provider: string;
    pool: string;
    decision: string;
    accelerators: number;
    from: string;
    ask_usd_h: number;
    walk_away_usd_h: number;
    walk_away_accelerators: number;
    indispensable: boolean;
    worth_microusd: number;
    flips_with: string;
    sign_by?: string;
  }[];
  lapsing: string[];
  unseen_futures: PlanRival[];
  bets: {
    what: string;
    mean: number;
    in_tail: number;
    explains: number;
    one_sd_microusd: number;
  }[];
  stress: {
    what: string;
    mean_microusd: number;
    research_missed: number;
    product_missed: number;
    regret_microusd: number;
  }[];
  limits: { what: string; one_percent_saves_microusd: number }[];
  committed_by_provider: { provider: string; microusd: number }[];
  ladders: PlanLadder[];
  notes: string[];
}

export interface HeldPlan {
  plan: PlanDoc;
  put_by: string;
  put_us: number;
}
