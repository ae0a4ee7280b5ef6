// What of the page has no page in it: numbers as text, rings, streams, who holds a slot.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SseParser } from '../src/api';
import { between, quantile, since } from '../src/engine';
import { ago, bytes, clock, ms, num, short, slotTime, span } from '../src/format';
import { parseAddress } from '../src/links';
import { quotaLines } from '../src/quotas';
import { Ring } from '../src/ring';
import { siteRows } from '../src/sites';
import { slotStates } from '../src/slots';
import type { EngineView, LabView, Lease } from '../src/wire';

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
