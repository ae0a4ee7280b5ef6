// A market and a plan for the played lab: what /api/v1/market, /spend and /plan answer. Days are
// reckoned from `today`, so that the pictures look alike in any year.
const kDay = 86_400_000;

const text = (ms) => new Date(ms).toISOString().slice(0, 10);
const monthOf = (day) => (Number(day.slice(0, 4)) - 1970) * 12 + Number(day.slice(5, 7)) - 1;
const monthText = (m) => `${1970 + Math.floor(m / 12)}-${String((m % 12) + 1).padStart(2, '0')}`;

function terms(over) {
  return {
    accelerator: 'h100-sxm',
    region: 'us-east',
    capacity: 'reserved',
    quantity: 512,
    min_quantity: 0,
    lot: 8,
    currency: 'USD',
    price_micro: 2_100_000,
    price_steps: [],
    term_months: 24,
    start: '',
    lead_days: 60,
    ramp: [],
    take_or_pay_ppm: 1_000_000,
    prepay_ppm: 0,
    notice_days: 90,
    renews: true,
    renewal_months: 0,
    renewal_price_micro: 0,
    early_exit_ppm: 1_000_000,
    end_follows_delivery: false,
    swaps: [],
    sla: { tiers: [], claim_days: 0, cap_ppm: 1_000_000 },
    ...over,
  };
}

export function mockMarket(now_ms = Date.now()) {
  const day = (n) => text(now_ms + n * kDay);
  const contract = (id, provider, site, quantity, t, dates, more) => {
    const { phase, spans, end, notice_by, delivered, deliveries, signed_on } = dates;
    return {
      view: {
        contract: {
          id,
          provider,
          offer: 'offer-1',
          site,
          terms: t,
          quantity,
          drafted: day(-420),
          signed_on,
          start: deliveries[0]?.promised ?? day(60),
          deliveries,
          notice_on: phase === 'in notice' ? spans.at(-1).from : '',
          leaves_on: '',
          exit_cost_micro: 0,
          renewals: 0,
          sla_months: [],
          events: [{ on: day(-400), what: 'signed' }],
        },
        phase,
        delivered,
        end,
        notice_by,
        price_micro: t.price_micro,
      },
      spans,
      held: deliveries.map((d) => ({ on: d.delivered || d.promised, quantity: d.quantity })),
      still_owed_micro: more,
    };
  };
  const contracts = [
    contract(
      'contract-2',
      'northern',
      'local',
      256,
      terms({ price_micro: 2_350_000, swaps: [{ accelerator: 'b200-sxm', from_month: 12 }] }),
      {
        phase: 'in notice',
        signed_on: day(-700),
        end: day(74),
        notice_by: '',
        delivered: 256,
        deliveries: [{ promised: day(-656), quantity: 256, delivered: day(-640) }],
        spans: [
          { phase: 'signed', from: day(-700), to: day(-640) },
          { phase: 'active', from: day(-640), to: day(-20) },
          { phase: 'in notice', from: day(-20), to: day(74) },
        ],
      },
      1_067_000_000_000,
    ),
    contract(
      'contract-5',
      'lakeside compute',
      'local',
      512,
      terms({ prepay_ppm: 200_000, take_or_pay_ppm: 800_000 }),
      {
        phase: 'ramping',
        signed_on: day(-120),
        end: day(680),
        notice_by: day(590),
        delivered: 256,
        deliveries: [
          { promised: day(-50), quantity: 128, delivered: day(-50) },
          { promised: day(-30), quantity: 128, delivered: day(-16) },
          { promised: day(-6), quantity: 256, delivered: '' },
        ],
        spans: [
          { phase: 'signed', from: day(-120), to: day(-50) },
          { phase: 'ramping', from: day(-50), to: day(1) },
          { phase: 'active', from: day(1), to: day(680) },
        ],
      },
      14_040_000_000_000,
    ),
    contract(
      'contract-9',
      'acme',
      'west',
      64,
      terms({ accelerator: 'b200-sxm', price_micro: 4_100_000, renews: true }),
      {
        phase: 'signed',
        signed_on: day(-12),
        end: day(410),
        notice_by: day(320),
        delivered: 0,
        deliveries: [{ promised: day(45), quantity: 64, delivered: '' }],
        spans: [
          { phase: 'signed', from: day(-12), to: day(45) },
          { phase: 'active', from: day(45), to: day(410) },
        ],
      },
      2_298_000_000_000,
    ),
    contract(
      'contract-11',
      'northern',
      'local',
      128,
      terms({}),
      {
        phase: 'draft',
        signed_on: '',
        end: day(790),
        notice_by: '',
        delivered: 0,
        deliveries: [],
        spans: [],
      },
      0,
    ),
  ];
  const first = monthOf(day(0));
  const owed = Array.from({ length: 24 }, (_, i) => {
    const least = (i < 3 ? 440_000 : 0) + (i < 1 ? 392_000 : 628_000) * (i < 22 ? 1 : 0);
    const b200 = i > 1 && i < 14 ? 188_000 : 0;
    return {
      month: first + i,
      accelerator_hours: Math.round((least + b200) / 2.2),
      worth_micro: (least * 1.2 + b200) * 1e6,
      at_least_micro: (least + b200) * 1e6,
      if_used_micro: (least * 1.2 + b200) * 1e6,
      prepaid_micro: 0,
    };
  });
  const due = [
    [0, 'contract-5', 'delivery', '256 h100-sxm of lakeside compute are outstanding'],
    [9, 'offer-14', 'offer expires', 'offer-14 (acme, 256 b200-sxm at $3.95 an hour) lapses then'],
    [45, 'contract-9', 'delivery', '64 b200-sxm of acme are promised'],
    [74, 'contract-2', 'ends', '256 h100-sxm of northern end'],
    [160, 'contract-9', 'price step', 'the price becomes $3.90 an hour'],
  ].map(([n, of, kind, what]) => ({ on: day(n), of, kind, what }));
  const offer = (id, provider, name, t, rate, over = {}) => ({
    view: {
      offer: {
        id,
        provider,
        name,
        terms: t,
        received: day(-20),
        expires: day(over.expires ?? 30),
        list_price: false,
        history: [],
        source: '',
        note: '',
        decided: 'open',
        contract: '',
        why: '',
      },
      state: 'open',
    },
    quantity: t.quantity,
    start: day(t.lead_days),
    end: day(t.lead_days + t.term_months * 30),
    commitment_micro: t.price_micro * t.quantity * t.term_months * 730,
    at_signing_micro: 0,
    goodput: 0.97,
    days_late: over.days_late ?? 14,
    price: t.price_micro / 1e6,
    unused: 0,
    timing: over.timing ?? 0,
    delivery: over.delivery ?? 0.02,
    failures: t.price_micro * 0.03e-6,
    rate,
    bridge: 'offer-3',
    why_not: '',
    differs: over.differs ?? [],
  });
  const offers = [
    offer(
      'offer-14',
      'acme',
      'q-77',
      terms({ accelerator: 'b200-sxm', price_micro: 3_950_000, quantity: 256 }),
      4.131,
      { expires: 9 },
    ),
    offer(
      'offer-12',
      'lakeside compute',
      'b200-2y',
      terms({
        accelerator: 'b200-sxm',
        price_micro: 4_050_000,
        term_months: 12,
        prepay_ppm: 250_000,
      }),
      4.292,
      {
        timing: 0.061,
        differs: [
          'price 3.95 -> 4.05',
          'term 24 -> 12 months',
          'prepayment 0% -> 25%',
          'quantity 256 -> 512',
        ],
      },
    ),
    offer('offer-7', 'northern', 'renewal', terms({ price_micro: 1_980_000 }), 2.064),
    offer(
      'offer-8',
      'lakeside compute',
      'h100-ramp',
      terms({ price_micro: 2_040_000, take_or_pay_ppm: 800_000 }),
      2.151,
      { differs: ['price 1.98 -> 2.04', 'take-or-pay 100% -> 80%'] },
    ),
  ];
  return {
    today: day(0),
    currency: 'USD',
    contracts,
    owed,
    due,
    offers,
    offers_open: 9,
    providers: [
      { provider: 'acme', open_offers: 3, contracts: 1, due: 0, late: 0, mean_days_late: 0 },
      {
        provider: 'lakeside compute',
        open_offers: 4,
        contracts: 1,
        due: 512,
        late: 384,
        mean_days_late: 6.5,
      },
      { provider: 'northern', open_offers: 2, contracts: 2, due: 256, late: 0, mean_days_late: 0 },
    ],
    notes: [],
  };
}

export function mockSpend(now_ms = Date.now()) {
  const last = monthOf(text(now_ms));
  const first = last - 7;
  const entries = [];
  const months = [];
  for (let m = first; m <= last; ++m) {
    const i = m - first;
    const had = (256 + (i > 5 ? 128 * (i - 5) : 0)) * 730 * 3600;
    const parts = {
      foundation: 0.44 + 0.02 * i,
      vision: 0.22 - 0.01 * i,
      assistant: 0.14 + 0.01 * i,
    };
    let used = 0;
    for (const [team, share] of Object.entries(parts)) {
      used += had * share;
      entries.push({
        month: m,
        contract: 'contract-2',
        team,
        loan: '',
        slot_seconds: Math.round(had * share),
        cost_micro: Math.round(((had * share) / 3600) * 2.35e6),
      });
    }
    const owed = Math.round((had / 3600) * 2.35e6);
    const paid = entries.filter((e) => e.month === m).reduce((s, e) => s + e.cost_micro, 0);
    months.push({
      month: m,
      contract: 'contract-2',
      had_seconds: had,
      used_seconds: Math.round(used),
      gross_micro: owed,
      floor_micro: owed,
      used_micro: paid,
      owed_micro: owed,
      idle_micro: owed - paid,
      due_micro: owed,
    });
  }
  return {
    ledger: {
      currency: 'USD',
      entries,
      months,
      loans: [
        { loan: 'loan-1', lender: 'foundation', cost_micro: 412_500_000 },
        { loan: 'loan-1', lender: '', cost_micro: 96_350_000 },
        { loan: 'loan-2', lender: 'vision', cost_micro: 1_204_875_000 },
      ],
      uncovered_slot_seconds: 93_600,
    },
    first_month: first,
    last_month: last,
    leases_since_us: 0,
  };
}

export function mockPlan(now_ms = Date.now()) {
  const start = monthOf(text(now_ms)) + 1;
  const months = 24;
  const at = Array.from({ length: months }, (_, t) => t);
  const p50 = at.map((t) => 420 * 1.025 ** t + (t > 5 && t < 9 ? 180 : 0));
  const rival = (name, what, mean, spread, missed) => ({
    name,
    what,
    mean_microusd: mean * 1e12,
    cvar_microusd: (mean + 1.7 * spread) * 1e12,
    committed_microusd: mean * 0.72e12,
    on_demand_microusd: mean * 0.14e12,
    spot_microusd: mean * 0.06e12,
    not_done_microusd: mean * 0.08e12,
    floor_missed_h: missed * 1e4,
    research_missed: missed,
    product_missed: missed / 3,
    cost_quantiles_microusd: Array.from({ length: 51 }, (_, q) =>
      Math.round((mean + spread * Math.tan(((q / 50) * 0.9 - 0.45) * 2.2)) * 1e12),
    ),
  });
  const mine = rival('plan', 'this one', 31.4, 2.1, 0.018);
  mine.by_month = {
    research: at.map((t) => ({
      month: monthText(start + t),
      asked: 3e5,
      missed: 3e5 * (t > 5 && t < 9 ? 0.07 : 0.008),
    })),
    product: at.map((t) => ({
      month: monthText(start + t),
      asked: 2e5,
      missed: 2e5 * (t > 14 ? 0.012 : 0.003),
    })),
  };
  const offer = (name, provider, pool, decision, over) => ({
    offer: name,
    provider,
    pool,
    decision,
    accelerators: 0,
    from: '',
    ask_usd_h: 2,
    walk_away_usd_h: 1.9,
    walk_away_accelerators: 0,
    indispensable: false,
    worth_microusd: 0,
    flips_with: '',
    ...over,
  });
  const step = (name, from, to, work) => ({
    name,
    work: at.map((t) => (t >= from && t < to ? work : 0)),
  });
  return {
    plan: {
      weir_plan: 1,
      title: 'three-offers',
      start: monthText(start),
      months,
      futures: 100,
      unseen: 1000,
      risk: 0.3,
      tail: 0.1,
      money: 'micro-USD, discounted to the start',
      proof: {
        objective_microusd: 33_100_000_000_000,
        bound_microusd: 33_040_000_000_000,
        gap: 0.0018,
        rounds: 14,
        by_cbc: false,
        least_floor_missed_h: 0,
        floor_missed_h: 0,
        sample_gap_95_microusd: [90_000_000_000, 410_000_000_000],
      },
      offers: [
        offer('northern-renewal', 'northern', 'h100', 'renew', {
          accelerators: 256,
          from: `256 from ${monthText(start + 2)}`,
          ask_usd_h: 1.98,
          walk_away_usd_h: 2.41,
          walk_away_accelerators: 256,
          worth_microusd: 1_930_000_000_000,
          flips_with: 'price above $2.41/h',
          sign_by: monthText(start),
        }),
        offer('acme-b200', 'acme', 'b200', 'sign', {
          accelerators: 128,
          from: `64 from ${monthText(start + 3)}, 64 from ${monthText(start + 9)}`,
          ask_usd_h: 3.95,
          walk_away_usd_h: 4.62,
          walk_away_accelerators: 128,
          indispensable: true,
          flips_with: 'delivery four months later',
          sign_by: monthText(start + 1),
        }),
        offer('lakeside-2y', 'lakeside compute', 'b200', 'renegotiate', {
          ask_usd_h: 4.05,
          walk_away_usd_h: 3.71,
          walk_away_accelerators: 64,
          flips_with: 'no prepayment',
        }),
        offer('lakeside-h100', 'lakeside compute', 'h100', 'decline', {
          ask_usd_h: 2.04,
          walk_away_usd_h: 1.52,
          walk_away_accelerators: 128,
        }),
      ],
      commitments: [],
      lapsing: ['contract-2'],
      unseen_futures: [
        mine,
        rival('mean plan', 'for the average future', 33.9, 3.4, 0.051),
        rival('newsvendor', 'pool by pool', 34.6, 2.6, 0.034),
        rival('break-even', 'commit once renting has cost as much', 37.2, 2.3, 0.062),
        rival('no plan', 'nothing is signed', 44.8, 5.2, 0.118),
      ],
      bets: [
        {
          what: 'growth of research',
          mean: 0.02,
          in_tail: 0.05,
          explains: 0.41,
          one_sd_microusd: 1_400_000_000_000,
        },
        {
          what: 'market price',
          mean: 0,
          in_tail: 0.3,
          explains: 0.22,
          one_sd_microusd: 900_000_000_000,
        },
        {
          what: 'launch of assistant-2',
          mean: 0.7,
          in_tail: 1,
          explains: 0.12,
          one_sd_microusd: 520_000_000_000,
        },
        {
          what: 'slips of lakeside compute',
          mean: 0.4,
          in_tail: 0.9,
          explains: 0.04,
          one_sd_microusd: -130_000_000_000,
        },
      ],
      stress: [
        {
          what: 'research grows twice as fast',
          mean_microusd: 39_200_000_000_000,
          research_missed: 0.06,
          product_missed: 0.011,
          regret_microusd: 2_100_000_000_000,
        },
        {
          what: 'every delivery three months late',
          mean_microusd: 33_700_000_000_000,
          research_missed: 0.044,
          product_missed: 0.02,
          regret_microusd: 640_000_000_000,
        },
        {
          what: 'lakeside compute fails',
          mean_microusd: 31_900_000_000_000,
          research_missed: 0.02,
          product_missed: 0.006,
          regret_microusd: 80_000_000_000,
        },
      ],
      limits: [
        {
          what: 'budget of the year from ' + monthText(start) + ': at most $16.0M',
          one_percent_saves_microusd: 41_000_000_000,
        },
      ],
      committed_by_provider: [
        { provider: 'northern', microusd: 9_100_000_000_000 },
        { provider: 'acme', microusd: 8_240_000_000_000 },
        { provider: 'lakeside compute', microusd: 5_900_000_000_000 },
      ],
      ladders: [
        {
          title: 'h100, b200',
          p10: p50.map((v, t) => v * (1 - 0.012 * (t + 4))),
          p50,
          p90: p50.map((v, t) => v * (1 + 0.017 * (t + 4))),
          steps: [
            step('contract-2', 0, 2, 256),
            step('contract-5', 0, 22, 256),
            step('northern-renewal', 2, 24, 256),
            step('acme-b200', 3, 24, 166),
          ],
        },
      ],
      notes: [
        'research: from 14 months of lab:research: 418 in ' +
          monthText(start) +
          ', growing +2.5% a month',
      ],
    },
    put_by: 'planner',
    put_us: now_ms * 1000 - 3600e6,
  };
}
