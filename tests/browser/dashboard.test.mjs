// The dashboard in real Chromium. By itself it plays its own lab (mock_lab.mjs) around web/dist; with
//   WEIR_DASHBOARD_URL=http://127.0.0.1:PORT/ WEIR_API_KEY=KEY npm test
// the same checks run against a real lab, and with WEIR_SURGE_COMMAND='weir load ...' also the surge.
// Pictures go to out/.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startBrowser, watchedPage } from './browser.mjs';
import { MockLab } from './mock_lab.mjs';
import { startMock } from './mock_server.mjs';

const kReal = process.env.WEIR_DASHBOARD_URL ?? '';
const kRealKey = process.env.WEIR_API_KEY ?? '';
const kSurgeCommand = process.env.WEIR_SURGE_COMMAND ?? '';
const kOut = fileURLToPath(new URL('out/', import.meta.url));
const kSurge_ms = kReal ? 180_000 : 30_000;
const mockOnly = { skip: kReal ? 'needs the played lab' : false };
const surgeable = {
  skip: kReal && !kSurgeCommand ? 'set WEIR_SURGE_COMMAND to a command that makes a surge' : false,
  timeout: 4 * kSurge_ms,
};

let browser;

before(async () => {
  await mkdir(kOut, { recursive: true });
  browser = await startBrowser();
});
after(() => browser?.close());

/** Opens the page on a lab of its own (or the real one) and checks the end as every test must. */
async function withPage(options, body) {
  const mock = kReal ? null : await startMock(options.mock ?? {});
  const url = kReal || mock.url;
  const key = options.key ?? (kReal ? kRealKey : mock.key);
  const { page, context, seen } = await watchedPage(browser, options.context ?? {});
  page.setDefaultTimeout(15_000);
  try {
    await page.goto(key ? `${url}#key=${encodeURIComponent(key)}` : url);
    if (!options.noLab) await page.waitForSelector('#slots .slot[data-kind]');
    await body({ page, mock, url, key, seen });
    const expected = options.expectedErrors ?? (() => false);
    assert.deepEqual(
      seen.errors.filter((e) => !expected(e)),
      [],
      'the console shows errors',
    );
    assert.deepEqual([...seen.hosts], [new URL(url).host], 'a request left the host');
  } finally {
    await context.close();
    await mock?.close();
  }
}

const texts = (page, selector) =>
  page.$$eval(selector, (all) => all.map((e) => e.textContent?.trim() ?? ''));

test('the slot map shows every slot with its holder, and the key leaves the address', async () => {
  await withPage({}, async ({ page, mock }) => {
    assert.equal(new URL(page.url()).hash, '');
    const cells = await page.$$eval('#slots .slot', (all) =>
      all.map((e) => ({ id: e.dataset.slot, kind: e.dataset.kind, label: e.ariaLabel })),
    );
    assert.ok(cells.length > 0);
    for (const c of cells) assert.ok(c.kind && c.label?.startsWith(c.id), JSON.stringify(c));
    if (mock) {
      assert.equal(cells.length, mock.lab.slots.length);
      const count = (kind) => cells.filter((c) => c.kind === kind).length;
      assert.deepEqual(
        [count('research'), count('product'), count('idle')],
        [6, 1, 1],
        'five for first-story, one for ablation-lr, one replica, one idle',
      );
    }
    const header = await page.textContent('.used');
    assert.match(header, /^\d+ of \d+ slots in use$/);
    await page.hover('#slots .slot[data-kind="product"], #slots .slot');
    await page.waitForSelector('#slot-tip:not([hidden])');
    assert.match(await page.textContent('#slot-tip'), /slot/);
  });
});

test('every part of the page is there, and says which command fills it while it is empty', async () => {
  await withPage({}, async ({ page }) => {
    const headings = await texts(page, '.panel h2');
    for (const name of ['Slots', 'Services', 'Jobs', 'Loans', 'Journal', 'Models and data']) {
      assert.ok(headings.includes(name), name);
    }
    const empties = await texts(page, '.empty:not([hidden]) code');
    for (const e of empties) assert.match(e, /^weir /);
    await page.waitForSelector('#journal .record');
  });
});

test('the keyboard reaches the slots, moves between them and opens what they hold', async () => {
  await withPage({}, async ({ page, mock }) => {
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate(() => document.activeElement?.className), 'skip');
    await page.keyboard.press('Enter');
    const active = () => page.evaluate(() => document.activeElement?.getAttribute('data-slot'));
    const ids = await page.$$eval('#slots .slot', (all) => all.map((e) => e.dataset.slot));
    assert.equal(await active(), ids[0]);
    await page.waitForSelector('#slot-tip:not([hidden])');
    await page.keyboard.press('ArrowRight');
    assert.equal(await active(), ids[1]);
    await page.keyboard.press('End');
    assert.equal(await active(), ids.at(-1));
    await page.keyboard.press('ArrowRight');
    assert.equal(await active(), ids.at(-1), 'there is nothing beyond the last slot');
    await page.keyboard.press('Home');
    if (mock) {
      await page.keyboard.press('ArrowDown');
      assert.equal(await active(), ids[4], 'eight slots are two lines of four');
      await page.keyboard.press('ArrowUp');
    }
    assert.equal(await active(), ids[0]);
    // exactly one slot is in the tab order
    assert.equal(await page.locator('#slots .slot[tabindex="0"]').count(), 1);

    const held = await page.$$eval('#slots .slot', (all) =>
      all.findIndex((e) => ['research', 'product', 'loan'].includes(e.dataset.kind)),
    );
    if (held < 0) return; // a real lab may be idle
    for (let i = 0; i < held; ++i) await page.keyboard.press('ArrowRight');
    await page.keyboard.press('Enter');
    await page.waitForSelector('.detail:not([hidden])');
    assert.equal(await page.evaluate(() => document.activeElement?.id), 'detail-title');
    await page.keyboard.press('Escape');
    await page.waitForSelector('.detail', { state: 'hidden' });
    assert.equal(await active(), ids[held], 'the focus comes back');
  });
});

test('the focus is visible on everything that Tab reaches', async () => {
  await withPage({}, async ({ page }) => {
    await page.waitForTimeout(500);
    const reached = new Set();
    for (let i = 0; i < 60; ++i) {
      await page.keyboard.press('Tab');
      const at = await page.evaluate(() => {
        const e = document.activeElement;
        if (!e || e === document.body) return null;
        const s = getComputedStyle(e);
        const box = e.getBoundingClientRect();
        return {
          what: `${e.tagName} ${e.className} ${e.textContent?.slice(0, 20)}`,
          shown:
            (s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 1) || e.matches('.skip'),
          size: box.width * box.height,
        };
      });
      if (!at) break;
      reached.add(at.what);
      assert.ok(at.shown && at.size > 0, `the focus cannot be seen on ${at.what}`);
    }
    assert.ok(reached.size > 8, [...reached].join('; '));
  });
});

test('the focus stays where it is while news come in', mockOnly, async () => {
  const lab = new MockLab();
  await withPage({ mock: { lab } }, async ({ page }) => {
    const focused = () =>
      page.evaluate(() => document.activeElement?.closest('[data-job]')?.getAttribute('data-job'));
    await page.focus('[data-job="job-4"] a');
    await page.waitForTimeout(700);
    assert.equal(await focused(), 'job-4');
    // the row moves to the top, and one above it goes away
    Object.assign(lab.jobs[3], { phase: 'running', submitted_us: 1 });
    lab.jobs.splice(2, 1);
    await page.waitForSelector('[data-job="job-3"]', { state: 'detached' });
    assert.equal(await page.getAttribute('[data-job]', 'data-job'), 'job-4');
    assert.equal(await focused(), 'job-4');
  });
});

test('why: a waiting job says what it waits for and what would change it', mockOnly, async () => {
  await withPage({}, async ({ page }) => {
    await page.click('[data-job="job-4"] a');
    await page.waitForSelector('.blockers');
    assert.match(await page.textContent('.blockers'), /4 slots or not at all.*--slots 1\.\.4/s);
    assert.match(await page.textContent('.detail-why'), /5m 40s/);
    await page.waitForSelector('.detail .record');
    assert.match(page.url(), /#\/jobs\/job-4$/);
    await page.reload();
    await page.waitForSelector('.blockers');
    await page.goBack();
    await page.waitForSelector('.detail', { state: 'hidden' });
  });
});

test('a surge is seen as it happens: loan, clock, charts, return', surgeable, async () => {
  const lab = kReal ? null : new MockLab({ recallAfter: 3, readyAfter: 2, openAfter: 1.5 });
  await withPage({ mock: lab ? { lab } : {} }, async ({ page }) => {
    const loanCells = '#slots .slot[data-kind="loan"]';
    assert.equal(await page.locator(loanCells).count(), 0);
    await page.waitForTimeout(1500);
    const chart = () =>
      page.$eval('#services .plot-time canvas', (c) => c.toDataURL().length + ':' + c.toDataURL());
    const calm = await chart();
    const arrivals = async () => parseFloat(await page.textContent('#services .fig-value'));
    const before = await arrivals();

    let load = null;
    if (lab) lab.surge();
    else load = spawn(kSurgeCommand, { shell: true, stdio: 'ignore' });
    await page.waitForSelector(loanCells, { timeout: kSurge_ms });
    await page.waitForSelector('#loans .loan');
    assert.match(await page.textContent('#said'), /Loan opened/);
    assert.ok((await arrivals()) > 2 * before, 'arrivals have at least doubled');
    assert.notEqual(await chart(), calm, 'the chart moved');

    const seconds = async () => {
      const m = /^(?:(\d+):)?(\d+):(\d+)$/.exec(await page.textContent('#loans .loan-clock'));
      return m ? Number(m[1] ?? 0) * 3600 + Number(m[2]) * 60 + Number(m[3]) : NaN;
    };
    const first = await seconds();
    await page.waitForTimeout(2600);
    const later = await seconds();
    assert.ok(first - later >= 2 && first - later <= 5, `the clock went from ${first} to ${later}`);
    await page.waitForSelector(`${loanCells}:not([data-motion])`, { timeout: kSurge_ms });
    await page.screenshot({ path: kOut + 'surge.png' });

    lab?.fall();
    await page.waitForSelector(loanCells, { state: 'detached', timeout: kSurge_ms });
    await page.waitForSelector('#loans .loan', { state: 'detached', timeout: kSurge_ms });
    const row = await page.textContent('#loans .returned tbody tr');
    assert.match(row, /slot-[sh]/, 'the cost stands on the returned loan');
    await page.waitForFunction(() =>
      [...document.querySelectorAll('#journal .record-type')].some(
        (e) => e.textContent === 'loan.returned',
      ),
    );
    load?.kill();
  });
});

test('a rollout shows how far it is', mockOnly, async () => {
  const lab = new MockLab({ readyAfter: 2 });
  await withPage({ mock: { lab } }, async ({ page }) => {
    lab.rollout();
    await page.waitForSelector('.rollout:not([hidden])');
    assert.match(await page.textContent('.rollout'), /first-story@1 → first-story@2/);
    await page.waitForSelector('.rollout', { state: 'hidden' });
    assert.match(await page.textContent('.svc-head'), /first-story@2/);
  });
});

test('a service shows what its engines do, and which variant serves in a surge', async () => {
  const lab = kReal ? null : new MockLab();
  await withPage({ mock: lab ? { lab } : {} }, async ({ page }) => {
    if (kReal && (await page.locator('.svc').count()) === 0) return; // nothing is served there
    await page.waitForSelector('.eng:not([hidden])');
    const tile = async (n) =>
      (await page.locator('.eng .fig').nth(n).innerText()).replace(/\s+/g, ' ');
    await page.waitForFunction(() => /\/s/.test(document.querySelector('.eng .fig').textContent));
    assert.match(await tile(0), /^Tokens .*[\d.]+k?M?\/s/);
    assert.match(await tile(1), /^Batch .*\d+ of \d+/);
    assert.match(await tile(2), /^KV cache .*\d+%/);
    assert.match(await tile(3), /^Prefix hits/);
    if (!lab) return;
    const bars = page.locator('.eng-bars').first();
    await page.waitForFunction(() => document.querySelectorAll('.eng-bars i').length > 2);
    assert.match(await bars.getAttribute('aria-label'), /^TTFT: half within .* ms, 99% within/);
    assert.equal(await page.locator('.svc-head .badge.warn').count(), 0);
    lab.own_version = lab.service.version;
    lab.service.version = 'first-story-q4@1';
    await page.waitForSelector('.svc-head .badge.warn');
    assert.match(await page.textContent('.svc-head .badge.warn'), /variant of first-story@1/);
    await page.screenshot({ path: kOut + 'engine.png', fullPage: true });
    await page.emulateMedia({ colorScheme: 'dark' });
    await page.screenshot({ path: kOut + 'engine-dark.png', fullPage: true });
  });
});

test('a bad key is refused in a clear sentence, and a good one opens the lab', async () => {
  await withPage(
    { key: 'wrong', noLab: true, expectedErrors: (e) => e.includes('401') },
    async ({ page, mock }) => {
      await page.waitForSelector('.key-error:not([hidden])');
      assert.match(
        await page.textContent('.key-error'),
        /does not know this key.*weir key create/s,
      );
      assert.equal(await page.evaluate(() => document.activeElement?.id), 'key');
      await page.fill('#key', 'wrong again');
      await page.keyboard.press('Enter');
      await page.waitForFunction(() => document.querySelector('#key').value === '');
      assert.ok(await page.isVisible('.key-error'));
      await page.fill('#key', mock ? mock.key : kRealKey);
      await page.keyboard.press('Enter');
      await page.waitForSelector('#slots .slot[data-kind]');
      assert.ok(!(await page.isVisible('.key-form')));
      await page.click('text=Forget key');
      await page.waitForSelector('.key-form:not([hidden])');
      assert.ok(!(await page.isVisible('#slots')));
    },
  );
});

test('what the lab sends stays text', mockOnly, async () => {
  const hostile = '<img src=x onerror="window.hit=1"><script>window.hit=1</script>';
  await withPage({ mock: { lab: new MockLab({ hostile }) } }, async ({ page }) => {
    await page.waitForSelector('#journal .record');
    assert.match(await page.textContent('#jobs'), /<img src=x/);
    await page.click('[data-job="job-3"] a');
    await page.waitForSelector('.detail:not([hidden])');
    assert.match(await page.textContent('#detail-title'), /<script>/);
    await page.waitForTimeout(300);
    assert.equal(await page.evaluate(() => window.hit), undefined);
    assert.equal(await page.locator('#app img, #app script').count(), 0);
  });
});

test(
  'a lost connection is said, what was seen stays, and the page comes back by itself',
  mockOnly,
  async () => {
    const lab = new MockLab();
    await withPage(
      { mock: { lab }, expectedErrors: (e) => /ERR_|Failed to load/.test(e) },
      async ({ page, mock }) => {
        await page.waitForSelector('#journal .record');
        await mock.close();
        await page.waitForSelector('#lost:not([hidden])');
        assert.match(
          await page.textContent('#lost'),
          /^Connection lost, showing state of \d\d:\d\d:\d\d/,
        );
        assert.equal(await page.locator('#slots .slot').count(), lab.slots.length);
        lab.record('job.submitted', ['job-2'], 'While nobody looked.', {});
        const again = await startMock({ lab, port: mock.port });
        try {
          await page.waitForSelector('#lost', { state: 'hidden' });
          await page.waitForFunction(() =>
            document.querySelector('#journal').textContent.includes('While nobody looked.'),
          );
          const seqs = await page.$$eval('#journal .record', (all) =>
            all.map((e) => e.dataset.seq),
          );
          assert.equal(new Set(seqs).size, seqs.length, 'no record is shown twice');
        } finally {
          await again.close();
        }
      },
    );
  },
);

test('trouble is told at the top', mockOnly, async () => {
  const lab = new MockLab();
  await withPage({ mock: { lab } }, async ({ page }) => {
    assert.ok(!(await page.isVisible('#trouble')));
    lab.trouble = 'The disk is full: nothing new is started. Free some space below /var/lib/weir.';
    await page.waitForSelector('#trouble:not([hidden])');
    assert.match(await page.textContent('#trouble'), /disk is full/);
  });
});

test('the journal is filtered by what is typed', mockOnly, async () => {
  await withPage({}, async ({ page }) => {
    await page.waitForSelector('#journal .record');
    await page.fill('#journal input', 'sweep-warmup');
    assert.deepEqual(await texts(page, '#journal .record-type'), ['job.queued']);
    await page.fill('#journal input', 'no such thing');
    assert.ok(await page.isVisible('text=No record matches the filter.'));
  });
});

test('a reload keeps what the charts have seen', mockOnly, async () => {
  await withPage({}, async ({ page }) => {
    // points at the left end of the first chart until it tells of a sample this old
    const oldest = async (least) => {
      const box = await page.locator('#services .plot-time .u-over').first().boundingBox();
      let age = NaN;
      for (let i = 0; i < 40 && !(age >= least); ++i) {
        await page.mouse.move(box.x + 2 + (i % 2), box.y + box.height / 2);
        await page.waitForTimeout(100);
        const text = await page.textContent('#services .plot-readout');
        age = Number(/^(\d+) s ago: arrivals \d/.exec(text)?.[1] ?? NaN);
      }
      return age;
    };
    await page.waitForTimeout(6000);
    const before = await oldest(5);
    assert.ok(before >= 5, `the oldest sample is ${before} s old`);
    await page.reload();
    await page.waitForSelector('#services .plot-time canvas');
    const loaded = Date.now();
    const after = await oldest(before);
    assert.ok(after >= before, `the oldest sample is ${after} s old after a reload`);
    assert.ok(Date.now() - loaded < 1000 * before, 'it was seen before the reload');
  });
});

test('the playground streams a completion', async (t) => {
  await withPage({}, async ({ page }) => {
    if (kReal && !(await page.locator('#pg-service option').count())) {
      return t.skip('the lab has no service yet');
    }
    await page.waitForSelector('#pg-service option', { state: 'attached' });
    await page.fill('#pg-max', '8');
    await page.click('#playground button[type=submit]');
    await page.waitForFunction(() => /token/.test(document.querySelector('.pg-note').textContent));
    await page.waitForFunction(
      () => document.querySelector('#playground button[type=submit]').textContent === 'Complete',
    );
    assert.match(await page.textContent('.pg-note'), /first token .* tokens/);
    assert.ok((await page.textContent('.pg-out')).length > 'The license'.length);
  });
});

test('light and dark, wide and narrow: nothing is cut off and text can be read', async () => {
  for (const colorScheme of ['light', 'dark']) {
    for (const width of [1440, 800]) {
      await withPage(
        { context: { colorScheme, viewport: { width, height: 1000 } } },
        async ({ page }) => {
          await page.waitForSelector('#journal .record');
          await page.waitForTimeout(600);
          assert.ok(
            await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth),
            'the page scrolls sideways',
          );
          assert.deepEqual(await page.evaluate(poorContrast), []);
          await page.screenshot({ path: `${kOut}${colorScheme}-${width}.png`, fullPage: true });
        },
      );
    }
  }
});

test('the theme button wins over the system and is kept', async () => {
  await withPage({ context: { colorScheme: 'light' } }, async ({ page }) => {
    const theme = () => page.evaluate(() => document.documentElement.dataset.theme);
    assert.equal(await theme(), 'light');
    await page.click('text=Dark');
    assert.equal(await theme(), 'dark');
    await page.reload();
    await page.waitForSelector('#slots .slot');
    assert.equal(await theme(), 'dark');
  });
});

test('four thousand slots are shown and stay quick', { ...mockOnly, timeout: 60_000 }, async () => {
  const lab = new MockLab({ nodes: 500, slotsPerNode: 8 });
  await withPage({ mock: { lab } }, async ({ page }) => {
    assert.equal(await page.locator('#slots .slot').count(), 4000);
    await page.focus('#slots .slot[tabindex="0"]');
    const start = Date.now();
    for (let i = 0; i < 10; ++i) await page.keyboard.press('ArrowDown');
    const each = (Date.now() - start) / 10;
    console.log(`# 4000 slots: ${each.toFixed(0)} ms per arrow key`);
    assert.ok(each < 500, `${each} ms per arrow key`);
  });
});

// Runs in the page: text whose colour is nearer than 4.5:1 to what is behind it (WCAG AA).
function poorContrast() {
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = 1;
  const ctx = canvas.getContext('2d', { willReadFrequently: true });
  // any CSS colour (color-mix too) over another, as the browser paints it
  const over = (top, under) => {
    ctx.fillStyle = `rgb(${under.join()})`;
    ctx.fillRect(0, 0, 1, 1);
    ctx.fillStyle = top;
    ctx.fillRect(0, 0, 1, 1);
    return [...ctx.getImageData(0, 0, 1, 1).data.slice(0, 3)];
  };
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((c) => {
      const x = c / 255;
      return x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (e) => {
    const chain = [];
    for (let x = e; x; x = x.parentElement) chain.unshift(getComputedStyle(x).backgroundColor);
    return chain.reduce((under, top) => over(top, under), [255, 255, 255]);
  };
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !e.checkVisibility()) continue;
    if (e.closest('.sr, .skip, noscript, option')) continue;
    const back = behind(e);
    const front = over(getComputedStyle(e).color, back);
    const [a, b] = [luminance(front), luminance(back)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) {
      poor.push(`${ratio.toFixed(2)}: "${walker.currentNode.textContent.trim().slice(0, 30)}"`);
    }
  }
  return [...new Set(poor)];
}

// ---- the market and the plan ----

const openPage = async (page, name) => {
  await page.click(`[data-page="${name}"]`);
  await page.waitForSelector(`#${name}:not([hidden])`);
};

test('the pages are reached by keyboard, by address and back, and one is shown at a time', async () => {
  // A lab that holds no plan says so with a 404.
  const expectedErrors = (e) => e.includes('/api/v1/plan');
  await withPage({ expectedErrors }, async ({ page, url }) => {
    const visible = () => page.$$eval('main:not([hidden])', (all) => all.map((e) => e.id));
    assert.deepEqual(await visible(), ['main']);
    await page.focus('[data-page="market"]');
    await page.keyboard.press('Enter');
    await page.waitForSelector('#market:not([hidden])');
    assert.deepEqual(await visible(), ['market']);
    assert.equal(await page.getAttribute('[data-page="market"]', 'aria-current'), 'page');
    await page.goBack();
    await page.waitForSelector('#main:not([hidden])');
    assert.deepEqual(await visible(), ['main']);
    await page.goto(new URL('/plan', url).href);
    await page.waitForSelector('#plan:not([hidden])');
    assert.equal(new URL(page.url()).hash, '#/plan');
    await page.click('[data-page="lab"]');
    await page.waitForSelector('#main:not([hidden])');
  });
});

test(
  'contracts lie on a time line with their phases, and open to their terms',
  mockOnly,
  async () => {
    await withPage({}, async ({ page, mock }) => {
      await openPage(page, 'market');
      await page.waitForSelector('[data-contract]');
      const market = mock.held.market;
      assert.equal(await page.locator('[data-contract]').count(), market.contracts.length);
      const boxes = await page.$$eval('[data-contract="contract-5"] .life', (all) =>
        all.map((e) => ({
          phase: e.dataset.phase,
          x: e.getBoundingClientRect().x,
          w: e.offsetWidth,
        })),
      );
      assert.deepEqual(
        boxes.map((b) => b.phase),
        ['signed', 'ramping', 'active'],
      );
      for (let i = 1; i < boxes.length; ++i) {
        assert.ok(Math.abs(boxes[i].x - boxes[i - 1].x - boxes[i - 1].w) < 2, 'spans touch');
      }
      const today = await page.$eval(
        '[data-contract="contract-5"] .today',
        (e) => e.getBoundingClientRect().x,
      );
      assert.ok(today > boxes[1].x && today < boxes[2].x + 2, 'it ramps today');
      assert.equal(await page.locator('[data-contract="contract-5"] .notice-mark').count(), 1);
      const name = page.locator('[data-contract="contract-5"] button');
      await name.focus();
      await page.keyboard.press('Enter');
      assert.equal(await name.getAttribute('aria-expanded'), 'true');
      const more = await page.textContent('#more-contract-5');
      assert.match(more, /take-or-pay 80%/);
      assert.match(more, /6 days late/);
      // it stays open when news come
      mock.held.market = { ...market, today: market.today, offers_open: 10 };
      mock.lab.record('market.put', ['offer-20'], 'An offer came.', {});
      await page.waitForFunction(
        () => document.querySelector('#offers .count').textContent === '10 open',
      );
      assert.equal(await name.getAttribute('aria-expanded'), 'true');
    });
  },
);

test(
  'offers are compared by their useful hour, and the terms that differ are marked',
  mockOnly,
  async () => {
    await withPage({}, async ({ page }) => {
      await openPage(page, 'market');
      await page.waitForSelector('[data-offer="offer-12"]');
      assert.equal(await page.locator('tr[data-best]').count(), 2, 'one of each accelerator');
      const marks = await texts(page, '[data-offer="offer-12"] mark');
      assert.ok(marks.includes('term 24 -> 12 months'), marks.join());
      assert.equal(await page.locator('tr[data-best] mark').count(), 0);
      const spend = await texts(page, '#spend .bars .bar-name');
      assert.equal(spend.at(-1), 'idle');
      assert.ok(spend.includes('vision'));
      const lenders = await texts(page, '#loan-costs tbody td:nth-child(2)');
      assert.ok(lenders.includes('idle capacity') && lenders.includes('foundation'));
      assert.match(
        await page.getAttribute('#owed .plot', 'aria-label'),
        /^Cash owed, \d{4}-\d{2} to/,
      );
    });
  },
);

test('the plan says what to do, what it costs and what it bets on', mockOnly, async () => {
  await withPage({}, async ({ page, mock }) => {
    await openPage(page, 'plan');
    await page.waitForSelector('[data-decision]');
    const decisions = await page.$$eval('[data-decision]', (all) =>
      all.map((e) => e.dataset.decision),
    );
    assert.deepEqual(decisions, ['renew', 'sign', 'renegotiate', 'decline']);
    assert.match(await page.textContent('[data-offer="northern-renewal"]'), /\$2\.41/);
    assert.match(await page.textContent('#decisions'), /Let lapse: contract-2/);
    const figures = await texts(page, '.figure dd.num');
    assert.equal(figures[0], '$31.40M');
    assert.match(
      await page.getAttribute('#ladders .plot', 'aria-label'),
      /acme-b200 from 0 to 166/,
    );
    assert.equal(await page.locator('#against tbody tr').count(), 5);
    // the readout under the cursor
    await page.hover('#ladders .plot');
    await page.waitForFunction(() =>
      document.querySelector('#ladders .plot-readout').textContent.includes('demand'),
    );
    // a newer plan comes by itself
    mock.held.plan = { ...mock.held.plan, plan: { ...mock.held.plan.plan, title: 'next-quarter' } };
    mock.lab.record('plan.put', ['plan'], 'A plan came.', {});
    await page.waitForFunction(
      () => document.querySelector('.plan-title').textContent === 'next-quarter',
    );
  });
});

test(
  'a lab without a market and without a plan says which commands bring them',
  mockOnly,
  async () => {
    const none = {
      market: {
        today: '2027-01-05',
        currency: 'USD',
        contracts: [],
        owed: [],
        due: [],
        offers: [],
        offers_open: 0,
        providers: [],
        notes: [],
      },
      spend: {
        ledger: { currency: 'USD', entries: [], months: [], loans: [], uncovered_slot_seconds: 0 },
        first_month: 684,
        last_month: 684,
        leases_since_us: 0,
      },
      plan: null,
    };
    const options = { mock: none, expectedErrors: (e) => e.includes('404') };
    await withPage(options, async ({ page }) => {
      await openPage(page, 'market');
      await page.waitForSelector('#contracts .empty:not([hidden])');
      for (const e of await texts(page, '#market .empty:not([hidden]) code'))
        assert.match(e, /^weir /);
      await openPage(page, 'plan');
      await page.waitForSelector('#plan > .empty:not([hidden])');
      assert.match(await page.textContent('#plan > .empty'), /weir plan FILE\.toml --to-lab/);
    });
  },
);

test(
  'market and plan fit a phone and both themes, and Tab reaches every control on them',
  mockOnly,
  async () => {
    for (const colorScheme of ['light', 'dark']) {
      const context = { viewport: { width: 390, height: 800 }, colorScheme };
      await withPage({ context }, async ({ page }) => {
        for (const name of ['market', 'plan']) {
          await openPage(page, name);
          await page.waitForSelector(`#${name} .page-body:not([hidden])`);
          await page.waitForTimeout(300);
          const wide = await page.evaluate(() => document.documentElement.scrollWidth);
          assert.ok(wide <= 390, `${name} is ${wide} wide`);
          await page.screenshot({ path: `${kOut}${name}-${colorScheme}-390.png`, fullPage: true });
        }
        await openPage(page, 'market');
        const names = new Set();
        for (let i = 0; i < 40; ++i) {
          await page.keyboard.press('Tab');
          const key = await page.evaluate(() => document.activeElement?.getAttribute('data-key'));
          if (key) names.add(key);
        }
        for (const id of ['contract-2', 'contract-5', 'contract-9']) assert.ok(names.has(id), id);
      });
    }
  },
);
