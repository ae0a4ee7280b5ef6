// What of the page has no page in it: numbers as text, rings, streams, who holds a slot.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SseParser } from '../src/api';
import { between, quantile, since } from '../src/engine';
import {
  ago,
  bytes,
  clock,
  dayOf,
  money,
  monthOf,
  monthText,
  ms,
  num,
  price,
  short,
  slotTime,
  span,
} from '../src/format';
import { addressOfPath, parseAddress } from '../src/links';
import { pageOf } from '../src/pages';
import { quotaLines } from '../src/quotas';
import { Ring } from '../src/ring';
import { axisOf, ladderSeries, monthSplits, spendByTeam } from '../src/series';
import { siteRows } from '../src/sites';
import { slotStates } from '../src/slots';
import type { ContractLine, EngineView, LabView, Lease, LedgerView } from '../src/wire';

test('numbers read as people write them', () => {
  const rows: [string, string][] = [
    [num(0), '0'],
    [num(12), '12'],
    [num(1204.4), '1,204'],
    [num(4.279), '4.28'],
    [num(0.0712), '0.071'],
    [num(NaN), '–'],
    [num(undefined), '–'],
    [short(12000), '12k'],
    [short(1234), '1.2k'],
    [short(3.4e6), '3.4M'],
    [short(999999), '1.0M'],
    [ms(0), '–'],
    [ms(7.31), '7.3 ms'],
    [ms(227.4), '227 ms'],
    [ms(1000), '1 s'],
    [ms(1250), '1.3 s'],
    [ms(12000), '12 s'],
    [bytes(1536), '1.50 KiB'],
    [bytes(512), '512 B'],
    [slotTime(311.6), '312 slot-s'],
    [slotTime(7200), '2 slot-h'],
  ];
  for (const [got, wanted] of rows) assert.equal(got, wanted);
});

test('times read as people say them', () => {
  assert.equal(span(0), '0s');
  assert.equal(span(42), '42s');
  assert.equal(span(185), '3m 05s');
  assert.equal(span(7800), '2h 10m');
  assert.equal(span(4 * 86400 + 3 * 3600), '4d 03h');
  assert.equal(clock(119), '1:59');
  assert.equal(clock(6.2), '0:07');
  assert.equal(clock(3723), '1:02:03');
  assert.equal(clock(-12.4), '-0:12');
  assert.equal(clock(-0.3), '0:00');
  assert.equal(ago(4), 'just now');
  assert.equal(ago(47), '40s ago');
  assert.equal(ago(700), '11m ago');
});

test('a ring keeps the newest rows in order and never grows', () => {
  const model: number[][] = [];
  const ring = new Ring(2, 7);
  for (let i = 0; i < 40; ++i) {
    const row = [i, i % 5 === 0 ? NaN : i * i];
    ring.push(row);
    model.push(row);
    const kept = model.slice(-7);
    assert.deepEqual(
      ring.column(0),
      kept.map((r) => r[0]),
    );
    assert.deepEqual(
      ring.column(1),
      kept.map((r) => (Number.isNaN(r[1]) ? null : r[1])),
    );
    assert.deepEqual(
      ring.column(0, i - 2),
      kept.map((r) => r[0]!).filter((x) => x >= i - 2),
    );
  }
});

test('a ring that was saved and restored is the same', () => {
  const ring = new Ring(3, 5);
  for (let i = 0; i < 8; ++i) ring.push([i, i % 2 ? NaN : i, -i]);
  const other = new Ring(3, 5);
  other.restore(JSON.parse(JSON.stringify(ring.save())));
  assert.deepEqual(other.save(), ring.save());
});

test('events come out the same however the stream is cut', () => {
  const text =
    ': hello\n\nevent: lab\nid: 7\ndata: {"a":1}\n\ndata: x\ndata: y\r\n\r\nevent: gone\n\ndata:z\n\n';
  const whole = new SseParser().push(text);
  assert.deepEqual(
    whole.map((e) => [e.event, e.data]),
    [
      ['lab', '{"a":1}'],
      ['message', 'x\ny'],
      ['message', 'z'],
    ],
  );
  for (let a = 0; a <= text.length; ++a) {
    for (let b = a; b <= text.length; b += 5) {
      const p = new SseParser();
      const cut = [text.slice(0, a), text.slice(a, b), text.slice(b)].flatMap((t) => p.push(t));
      assert.deepEqual(cut, whole);
    }
  }
});

test('an address that names nothing is none', () => {
  assert.deepEqual(parseAddress('#/jobs/job-3'), { kind: 'jobs', id: 'job-3' });
  assert.deepEqual(parseAddress('#/models/a%2Fb%401'), { kind: 'models', id: 'a/b@1' });
  for (const bad of ['', '#', '#/jobs/', '#/keys/a', '#/jobs/%zz', '#main']) {
    assert.equal(parseAddress(bad), null);
  }
});

function lease(more: Partial<Lease>): Lease {
  return {
    id: 'lease-1',
    holder_kind: 'job',
    holder: 'job-1',
    team: 'research',
    slots: ['s0'],
    phase: 'active',
    opened_us: 0,
    active_us: 0,
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
}

test('a slot shows who holds it, and the one that serves while a replica is replaced', () => {
  const see = (leases: Lease[], health: 'up' | 'cordoned' | 'down' = 'up') => {
    const view = {
      slots: [{ id: 's0', site: 'a', node: 'n', index: 0, health, why: '' }],
      teams: [
        { name: 'research', class: 'research' },
        { name: 'product', class: 'product' },
      ],
      jobs: [],
      loans: [],
      leases,
    } as unknown as LabView;
    const s = slotStates(view)[0]!;
    return [s.kind, s.motion, s.target];
  };
  const replica = { holder_kind: 'replica', holder: 'svc-1', team: 'product' } as const;
  assert.deepEqual(see([]), ['idle', '', '']);
  assert.deepEqual(see([], 'cordoned'), ['cordoned', '', '']);
  assert.deepEqual(see([lease({})]), ['research', '', 'jobs/job-1']);
  assert.deepEqual(see([lease({})], 'down'), ['down', '', 'jobs/job-1']);
  assert.deepEqual(see([lease({ phase: 'ended' })]), ['idle', '', '']);
  assert.deepEqual(see([lease({ phase: 'stopping' })]), ['research', 'stopping', 'jobs/job-1']);
  assert.deepEqual(see([lease({ ...replica })]), ['product', 'starting', 'services/svc-1']);
  assert.deepEqual(see([lease({ ...replica, ready: true })]), ['product', '', 'services/svc-1']);
  assert.deepEqual(see([lease({ ...replica, ready: true, loan: 'loan-1' })])[0], 'loan');
  const old = lease({ ...replica, ready: true, id: 'lease-1' });
  const next = lease({ ...replica, phase: 'intended', id: 'lease-2', replaces: 'lease-1' });
  assert.deepEqual(see([old, next]), ['product', '', 'services/svc-1']);
  assert.deepEqual(see([next, { ...old, phase: 'stopping' }])[1], 'starting');
});

test('the tree of quotas has parents before children, and ends in a circle', () => {
  const team = (name: string, parent: string) => ({ name, parent }) as LabView['teams'][number];
  const view = {
    teams: [team('b', 'a'), team('a', ''), team('c', 'b'), team('d', 'gone'), team('x', 'x')],
    quotas: [{ team: 'c', entitled: 2.5 }],
  } as unknown as LabView;
  const lines = quotaLines(view);
  assert.deepEqual(
    lines.map((l) => [l.team.name, l.depth, l.quota?.entitled]),
    [
      ['a', 0, undefined],
      ['b', 1, undefined],
      ['c', 2, 2.5],
      ['d', 0, undefined],
    ],
  );
});

test('a site that does not answer is unknown, and what is held there still costs', () => {
  const rows = siteRows({
    now_us: 100e6,
    sites: [
      { name: 'local', driver: 'local', reachable: true, isolation: '' },
      {
        name: 'north',
        driver: 'slurm',
        reachable: false,
        isolation: '',
        unknown_since_us: 40e6,
        price_usd_per_slot_h: 2,
      },
    ],
    slots: [
      { id: 'north/a/0', site: 'north', node: 'a', index: 0, health: 'up', why: '' },
      { id: 'north/a/1', site: 'north', node: 'a', index: 1, health: 'cordoned', why: 'theirs' },
    ],
    leases: [{ slots: ['north/a/0'] }],
  } as unknown as LabView);
  assert.equal(rows[0]!.state, 'answers');
  assert.match(rows[1]!.state, /^unknown for 1m/);
  assert.deepEqual([rows[1]!.slots, rows[1]!.usable, rows[1]!.held], [2, 1, 1]);
});

test('latencies of the last minute are the difference of cumulative counts', () => {
  const border_ms = [10, 100, 0];
  const then = { border_ms, count: [4, 6, 6] };
  assert.deepEqual(between(undefined, then), [4, 2, 0], 'all so far');
  assert.deepEqual(between(then, { border_ms, count: [5, 10, 12] }), [1, 3, 2]);
  assert.deepEqual(between(then, { border_ms, count: [1, 1, 1] }), [1, 0, 0], 'one began anew');
  assert.deepEqual(between({ border_ms: [], count: [] }, then), [4, 2, 0]);
  const buckets = [1, 3, 0];
  assert.equal(quantile(buckets, border_ms, 0.25), 10);
  assert.equal(quantile(buckets, border_ms, 0.5), 100);
  assert.equal(quantile([0, 0, 5], border_ms, 0.5), 100, 'beyond the last border');
  assert.equal(quantile([0, 0, 0], border_ms, 0.5), 0);
  const at = (prompt_tokens: number) => ({ prompt_tokens }) as EngineView;
  assert.equal(since(at(10), at(25), 'prompt_tokens'), 15);
  assert.equal(since(at(10), at(3), 'prompt_tokens'), 3, 'one began anew');
  assert.equal(since(undefined, at(3), 'prompt_tokens'), 3);
});

test('money, months and days read as people write them', () => {
  const rows: [string, string][] = [
    [money(0.5), '$0.50'],
    [money(1234.5), '$1,235'],
    [money(-56_700), '-$56.7k'],
    [money(17.16e6), '$17.16M'],
    [money(2e9, 'EUR'), 'EUR 2.00B'],
    [money(NaN), '–'],
    [price(2.1), '$2.10'],
    [price(2.125), '$2.125'],
    [price(0.0345, 'EUR'), 'EUR 0.0345'],
    [monthText(0), '1970-01'],
    [monthText(monthOf('2027-12')), '2027-12'],
    [pageOf('#/market'), 'market'],
    [pageOf('#/jobs/market'), 'lab'],
    [addressOfPath('/plan'), '/#/plan'],
  ];
  for (const [got, wanted] of rows) assert.equal(got, wanted);
  assert.ok(Number.isNaN(monthOf('soon')) && Number.isNaN(dayOf('')));
  assert.deepEqual(monthSplits(24), [0, 3, 6, 9, 12, 15, 18, 21]);
  assert.deepEqual(monthSplits(1), [0]);
});

test('the time line holds today and every end that is within reach', () => {
  const line = (from: string, end: string) =>
    ({ view: { end }, spans: [{ phase: 'active', from, to: end }] }) as unknown as ContractLine;
  const axis = axisOf(
    [line('2026-11-01', '2028-03-01'), line('2020-01-01', '2100-01-01')],
    '2027-01-05',
  );
  assert.ok(axis.from <= dayOf('2026-11-01') && axis.to >= dayOf('2028-03-01'));
  assert.ok(axis.to < dayOf('2030-01-01'), 'a contract without an end does not stretch it');
  assert.ok(axis.ticks.length >= 3 && axis.ticks.length < 14);
  assert.ok(axisOf([], '2027-01-05').to > dayOf('2027-01-05'));
});

test('spend by team: entries and idle add up to what is owed', () => {
  const l = {
    ledger: {
      currency: 'USD',
      entries: [
        { month: 684, contract: 'c', team: 'a', loan: '', slot_seconds: 3600, cost_micro: 2e6 },
        { month: 685, contract: 'c', team: 'b', loan: '', slot_seconds: 7200, cost_micro: 4e6 },
      ],
      months: [
        {
          month: 684,
          contract: 'c',
          had_seconds: 7200,
          used_seconds: 3600,
          used_micro: 2e6,
          owed_micro: 4e6,
          idle_micro: 2e6,
        },
        {
          month: 685,
          contract: 'c',
          had_seconds: 7200,
          used_seconds: 7200,
          used_micro: 4e6,
          owed_micro: 4e6,
          idle_micro: 0,
        },
      ],
      loans: [],
      uncovered_slot_seconds: 0,
    },
    first_month: 684,
    last_month: 685,
    leases_since_us: 0,
  } as LedgerView;
  const teams = spendByTeam(l);
  assert.deepEqual(
    teams.map((t) => [t.team, t.cost, t.by_month]),
    [
      ['b', 4, [0, 4]],
      ['a', 2, [2, 0]],
      ['idle', 2, [2, 0]],
    ],
  );
});

test('a ladder of many contracts shows the first and adds up the others', () => {
  const steps = Array.from({ length: 12 }, (_, i) => ({ name: `c${i}`, work: [i, 1] }));
  const series = ladderSeries({ title: '', p10: [1, 1], p50: [2, 2], p90: [3, 3], steps });
  const stacked = series.filter((s) => s.stacked);
  assert.equal(stacked.length, 8);
  assert.deepEqual(stacked[7]!.values, [7 + 8 + 9 + 10 + 11, 5]);
  assert.equal(series.length, 11);
});
