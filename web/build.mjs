// Builds the page into dist/: index.html, main.js, main.css and the font. Names carry no hash: the
// program that embeds them serves them with an ETag, and the page never mixes two versions.
import { build } from 'esbuild';
import { cp, mkdir, rm, stat } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const dist = here + 'dist/';
const kMostJsBytes = 150 * 1024; // what a page that loads over a slow tunnel may weigh

await rm(dist, { recursive: true, force: true });
await mkdir(dist, { recursive: true });
await build({
  absWorkingDir: here,
  entryPoints: { main: 'src/main.ts' },
  bundle: true,
  minify: true,
  format: 'esm',
  target: ['es2022'],
  outdir: dist,
  loader: { '.woff2': 'file' },
  assetNames: '[name]',
  legalComments: 'eof',
  logLevel: 'warning',
});
await cp(here + 'index.html', dist + 'index.html');
const { size } = await stat(dist + 'main.js');
if (size > kMostJsBytes) {
  console.error(`dist/main.js has ${size} bytes; at most ${kMostJsBytes} are allowed`);
  process.exit(1);
}
console.log(`dist/main.js ${(size / 1024).toFixed(1)} KiB`);
