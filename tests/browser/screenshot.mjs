// Pictures of the dashboard.
//   node screenshot.mjs [docs/dashboard.png]   one, for the README, 1440 wide and light
//   node screenshot.mjs --all DIR              light and dark, wide and narrow, big lab, detail
// WAIT=90 looks on for so many seconds first, so that the charts have something to show.
// Of the lab at WEIR_DASHBOARD_URL with WEIR_API_KEY where they are set, else of the mock.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startBrowser, watchedPage } from './browser.mjs';
import { playedLab, startMock } from './mock_server.mjs';

const real = process.env.WEIR_DASHBOARD_URL;
const mock = real ? null : await startMock(playedLab());
const url = real ?? mock.url;
const key = real ? (process.env.WEIR_API_KEY ?? '') : mock.key;
const browser = await startBrowser();

async function shoot(path, { scheme = 'light', width = 1440, height = 1000, at = url, act } = {}) {
  const { page, context } = await watchedPage(browser, {
    colorScheme: scheme,
    viewport: { width, height: height || 1000 },
    deviceScaleFactor: Number(process.env.SCALE ?? 1),
    reducedMotion: 'reduce',
  });
  await page.goto(`${at}#key=${encodeURIComponent(key)}`);
  await page.waitForSelector('#slots .slot', { state: 'attached' });
  await page.waitForTimeout(2500 + 1000 * Number(process.env.WAIT ?? 0)); // plots and the curve have come
  await act?.(page);
  await page.screenshot({ path, fullPage: height === 0 || width < 1000 });
  await context.close();
  console.log(path);
}

try {
  const args = process.argv.slice(2);
  if (args[0] === '--all') {
    const dir = args[1] ?? 'out';
    await mkdir(dir, { recursive: true });
    for (const scheme of ['light', 'dark']) {
      await shoot(join(dir, `${scheme}-1440.png`), { scheme, height: 1560 });
      await shoot(join(dir, `${scheme}-800.png`), { scheme, width: 800 });
      for (const name of ['market', 'plan']) {
        for (const width of [1440, 800, 400]) {
          await shoot(join(dir, `${name}-${scheme}-${width}.png`), {
            scheme,
            width,
            height: width > 1000 ? 0 : 1000,
            act: async (page) => {
              await page.click(`[data-page="${name}"]`);
              await page.waitForSelector(`#${name} .page-body:not([hidden])`);
              await page.waitForTimeout(700);
            },
          });
        }
      }
    }
    await shoot(join(dir, 'detail.png'), {
      act: async (page) => {
        await page.click('[data-job="job-4"] a');
        await page.waitForSelector('.blockers');
      },
    });
    await shoot(join(dir, 'detail-dark.png'), {
      scheme: 'dark',
      act: async (page) => {
        await page.click('[data-job="job-2"] a');
        await page.waitForTimeout(1500);
      },
    });
    if (mock) {
      for (const [nodes, slotsPerNode] of [
        [16, 8],
        [96, 8],
        [500, 8],
      ]) {
        const big = await startMock({ lab: playedLab({ nodes, slotsPerNode }).lab });
        await shoot(join(dir, `slots-${nodes * slotsPerNode}.png`), {
          at: big.url,
          act: (page) => page.hover('.slot[data-kind="loan"]'),
        });
        await big.close();
      }
    }
  } else {
    const path = args[0] ?? fileURLToPath(new URL('../../docs/dashboard.png', import.meta.url));
    await shoot(path, { height: 1240 });
  }
} finally {
  await browser.close();
  await mock?.close();
}
