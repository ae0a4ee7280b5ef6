// The mock lab behind the API's paths and the page's Content-Security-Policy, on a free port.
//   node mock_server.mjs [--story] [--port N]   prints an address that opens the page
// --story plays a surge, a loan, a recall and a rollout again and again.
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { MockLab } from './mock_lab.mjs';
import { mockMarket, mockPlan, mockSpend } from './mock_market.mjs';

const kDist = fileURLToPath(new URL('../../web/dist/', import.meta.url));
const kTypes = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.woff2': 'font/woff2',
};
const kPolicy = "default-src 'self'; style-src 'self'; img-src 'self' data:";
const kStep_ms = 250;

/**
 * Serves `lab` until close(). `history`: views of the past, sent first on each live stream.
 * `answer`: the words that a completion streams. `market`, `spend`, `plan`: what these answer; the
 * plan may be null.
 */
export async function startMock({
  lab = new MockLab(),
  port = 0,
  key = 'mock-key',
  history = [],
  answer = ['This', ' program', ' is', ' free', ' software', '.'],
  market = mockMarket(),
  spend = mockSpend(),
  plan = mockPlan(),
} = {}) {
  const held = { market, spend, plan };
  const views = new Set();
  const server = createServer((req, res) => {
    handle(req, res).catch((error) => {
      console.error(error);
      res.destroy();
    });
  });

  function problem(res, status, title, detail, hint) {
    res.writeHead(status, { 'Content-Type': 'application/problem+json' });
    res.end(JSON.stringify({ type: 'about:blank', title, status, detail, code: 'x', hint }));
  }
  function json(res, body) {
    res.writeHead(200, { 'Content-Type': 'application/json' });
    res.end(JSON.stringify(body));
  }
  function events(res) {
    res.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
  }

  async function handle(req, res) {
    const url = new URL(req.url, 'http://localhost');
    const path = url.pathname;
    if (!path.startsWith('/api/') && !path.startsWith('/v1/')) return file(path, res);
    if (req.headers.authorization !== `Bearer ${key}`) {
      return problem(res, 401, 'Unauthorized', 'no such key', 'weir key list');
    }
    if (path === '/api/v1/lab') return json(res, lab.view());
    if (path === '/api/v1/events') {
      events(res);
      for (const view of history) res.write(`event: lab\ndata: ${view}\n\n`);
      const send = () => res.write(`event: lab\ndata: ${JSON.stringify(lab.view())}\n\n`);
      send();
      views.add(send);
      res.on('close', () => views.delete(send));
      return;
    }
    if (path === '/api/v1/journal' && !url.searchParams.has('follow')) {
      const last = Number(url.searchParams.get('last') ?? 100);
      return json(res, { records: lab.records.slice(-last), next: lab.records.length + 1 });
    }
    if (path === '/api/v1/journal') {
      events(res);
      res.write(': here\n\n');
      const send = (r) => res.write(`id: ${r.seq}\nevent: record\ndata: ${JSON.stringify(r)}\n\n`);
      const from = Number(url.searchParams.get('from') ?? 1);
      lab.records.filter((r) => r.seq >= from).forEach(send);
      lab.listeners.add(send);
      res.on('close', () => lab.listeners.delete(send));
      return;
    }
    const kept = /^\/api\/v1\/(market|spend|plan)$/.exec(path);
    if (kept && held[kept[1]]) return json(res, held[kept[1]]);
    let m = /^\/api\/v1\/jobs\/([^/]+)\/curve$/.exec(path);
    if (m) return json(res, { job: m[1], points: m[1] === 'job-2' ? thin(lab.curve, 300) : [] });
    m = /^\/api\/v1\/services\/([^/]+)\/engine$/.exec(path);
    if (m) return json(res, engineOf(lab, decodeURIComponent(m[1])));
    m = /^\/api\/v1\/(jobs|services|loans)\/([^/]+)\/why$/.exec(path);
    const why = m && lab.why(m[1], m[2]);
    if (why) return json(res, why);
    if (path === '/v1/completions' && req.method === 'POST') {
      for await (const piece of req) void piece;
      events(res);
      for (const text of answer) {
        const chunk = { choices: [{ index: 0, text, finish_reason: null }] };
        res.write(`data: ${JSON.stringify(chunk)}\n\n`);
        await new Promise((resolve) => setTimeout(resolve, 30));
      }
      res.write('data: {"choices":[{"index":0,"text":"","finish_reason":"stop"}]}\n\n');
      return res.end('data: [DONE]\n\n');
    }
    return problem(res, 404, 'Not Found', `${path}: nothing is there`, 'see /api/v1/openapi.json');
  }

  async function file(path, res) {
    // a page of the dashboard (/jobs/job-3) has no dot in its last part
    const name = /\/[^./]*$/.test(path) ? 'index.html' : path.slice(1);
    const full = join(kDist, name);
    const there = !name.includes('..') && (await stat(full).catch(() => null))?.isFile();
    if (!there) return problem(res, 404, 'Not Found', `${path}: nothing is there`, 'open /');
    res.writeHead(200, {
      'Content-Type': kTypes[extname(name)] ?? 'application/octet-stream',
      'Content-Security-Policy': kPolicy,
      'X-Content-Type-Options': 'nosniff',
    });
    createReadStream(full).pipe(res);
  }

  const timer = setInterval(() => {
    lab.step(Math.max(0, Date.now() * 1000 - lab.now) / 1e6);
    for (const send of views) send();
  }, kStep_ms);

  await new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  const address = server.address();
  return {
    lab,
    held,
    key,
    port: address.port,
    url: `http://127.0.0.1:${address.port}/`,
    close: async () => {
      clearInterval(timer);
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

// What the engines of a service would tell: traffic of the mock lab since it began, in buckets.
function engineOf(lab, name) {
  const found = lab
    .view()
    .services.find((s) => s.service.spec.name === name || s.service.id === name);
  const ready = found?.ready ?? 0;
  const t = found?.traffic;
  const border_ms = [1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 0];
  const seconds = (Date.now() / 1000) % 100_000;
  const spread = (middle) => {
    let below = 0;
    const count = border_ms.map((b) => {
      const x = Math.log2((b || 10_000) / Math.max(0.1, middle));
      below += Math.round(seconds * (t?.arrivals_per_s ?? 0) * Math.exp(-x * x) * 0.4);
      return below;
    });
    return { border_ms, count };
  };
  const running = Math.min(32 * ready, Math.round(t?.outstanding ?? 0));
  return {
    replicas: ready,
    running,
    max_batch: 32 * ready,
    queued: t?.queued ?? 0,
    kv_blocks_used: running * 9,
    kv_blocks_cached: 120 * ready,
    kv_blocks_free: Math.max(0, 500 * ready - running * 9),
    prompt_tokens: Math.round(seconds * 400),
    prefix_hit_tokens: Math.round(seconds * 230),
    generated_tokens: Math.round(seconds * 930),
    drafted_tokens: Math.round(seconds * 60),
    accepted_tokens: Math.round(seconds * 41),
    ttft: spread(t?.ttft_ms || 80),
    tpot: spread(t?.tpot_ms || 12),
  };
}

function thin(points, most) {
  const every = Math.ceil(points.length / most);
  // a point where the number of slots changed, or with a held-out loss, is kept
  return points.filter(
    (p, i) =>
      i % every === 0 ||
      i === points.length - 1 ||
      p.heldout_loss !== undefined ||
      p.slots !== points[i - 1].slots,
  );
}

/**
 * A lab whose last ten minutes are played already: a surge that is over and one under way, so that
 * everything is on the page. Returns it with the views of those minutes.
 */
export function playedLab(options = {}) {
  const now = Date.now() * 1000;
  const lab = new MockLab({ ...options, start_us: now - 600e6, loanLimit: 180 });
  const at = (s, f) => lab.script.push({ at: now - 600e6 + s * 1e6, f });
  at(70, () => lab.rollout());
  at(170, () => lab.surge());
  at(262, () => lab.fall());
  at(400, () => lab.rollout());
  at(545, () => lab.surge());
  const history = [];
  let told = 0;
  while (lab.now < now) {
    lab.step(0.25);
    if (lab.now - told >= 2e6) {
      told = lab.now;
      history.push(JSON.stringify(lab.view()));
    }
  }
  return { lab, history };
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const args = process.argv.slice(2);
  const port = args.includes('--port') ? Number(args[args.indexOf('--port') + 1]) : 0;
  const played = args.includes('--story') ? playedLab() : {};
  const mock = await startMock({ ...played, port });
  if (played.lab) {
    const again = () => {
      mock.lab.after(20, () => mock.lab.fall());
      mock.lab.after(60, () => mock.lab.rollout());
      mock.lab.after(100, () => mock.lab.surge());
      mock.lab.after(150, again);
    };
    again();
  }
  console.log(`${mock.url}#key=${mock.key}`);
}
