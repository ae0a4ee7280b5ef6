// Chromium for the tests: found, started without anything that reaches out, and watched.
import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';

const kPaths = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

export async function startBrowser() {
  const path = process.env.CHROMIUM ?? kPaths.find(existsSync);
  if (!path) throw new Error('no Chromium found: apt install chromium, or set CHROMIUM=path');
  return chromium.launch({
    executablePath: path,
    headless: true,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}

/** A page that remembers what went wrong and which hosts it asked. */
export async function watchedPage(browser, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 1000 }, ...options });
  const page = await context.newPage();
  const seen = { errors: [], hosts: new Set() };
  page.on('console', (m) => {
    if (m.type() === 'error') seen.errors.push(`${m.text()} (${m.location().url})`);
  });
  page.on('pageerror', (e) => seen.errors.push(String(e)));
  page.on('request', (r) => {
    const url = new URL(r.url());
    if (url.protocol !== 'data:') seen.hosts.add(url.host);
  });
  return { page, context, seen };
}
