// Bundles the unit tests (they are TypeScript, as what they test) and runs them with node's runner.
import { build } from 'esbuild';
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const out = await mkdtemp(join(tmpdir(), 'weir-web-'));
try {
  await build({
    entryPoints: [here + 'unit.test.ts'],
    bundle: true,
    format: 'esm',
    platform: 'node',
    outfile: join(out, 'unit.test.mjs'),
    logLevel: 'warning',
  });
  process.exitCode =
    spawnSync(process.execPath, ['--test', join(out, 'unit.test.mjs')], { stdio: 'inherit' })
      .status ?? 1;
} finally {
  await rm(out, { recursive: true });
}
