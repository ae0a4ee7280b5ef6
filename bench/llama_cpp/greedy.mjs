#!/usr/bin/env node
// Does llama.cpp read our GGUF files, and say the same?
//
//   cmake --build build --target random_models greedy
//   cd bench/llama_cpp && npm install --ignore-scripts
//   node greedy.mjs --random                      small random models of every architecture and type
//   node greedy.mjs MODEL.gguf ...
//
// For each file and each prompt both programs continue greedily from the same token ids. Up to the
// first id that differs they agree; there, the gap between our two likeliest tokens says whether
// rounding decided (hundredths of a nat) or somebody is wrong (whole ones). One line a file, JSON
// with --json. Exits 1 where a file is not read, or where a difference has a gap above --gap nats; of a
// mixture of experts ten times that, since where two experts are nearly as good as each other rounding
// decides which one a token gets, and what follows is then another text.
import {spawnSync} from 'node:child_process';
import {mkdtempSync, readdirSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {basename, join, resolve} from 'node:path';
import {parseArgs} from 'node:util';
import {getLlama, LlamaLogLevel} from 'node-llama-cpp';

const {values: flags, positionals} = parseArgs({
  allowPositionals: true,
  options: {
    build: {type: 'string', default: resolve(import.meta.dirname, '../../build')},
    random: {type: 'boolean', default: false},
    tokens: {type: 'string', default: '48'},
    gap: {type: 'string', default: '0.2'},
    prompt: {type: 'string', multiple: true},
    json: {type: 'boolean', default: false},
  },
});
const wanted = Number(flags.tokens);
const prompts = flags.prompt ?? [
  'Once upon a time',
  'A weir is a low dam: what rises over the crest',
  'One day, a little girl named Lily found a needle in her room.',
];

let files = positionals;
let folder;
if (flags.random) {
  folder = mkdtempSync(join(tmpdir(), 'weir-models-'));
  const made = spawnSync(join(flags.build, 'bench/random_models'), [folder], {encoding: 'utf8'});
  if (made.status !== 0) throw new Error(`random_models: ${made.error ?? made.stderr}`);
  files = [...files, ...readdirSync(folder).sort().map((name) => join(folder, name))];
}
if (files.length === 0) {
  console.error('usage: node greedy.mjs [--random] [--tokens N] MODEL.gguf ...');
  process.exit(2);
}

function ours(file, allIds) {
  const run = spawnSync(join(flags.build, 'bench/greedy'), [resolve(file), String(wanted)],
                        {input: allIds.map((ids) => ids.join(' ')).join('\n') + '\n', encoding: 'utf8'});
  if (run.status !== 0) throw new Error(`greedy: ${run.error ?? run.stderr}`);
  return run.stdout.trim().split('\n').map((line) => JSON.parse(line));
}

async function theirs(context, ids) {
  const sequence = context.getSequence();
  try {
    const out = [];
    for await (const id of sequence.evaluate(ids, {temperature: 0, yieldEogToken: true})) {
      out.push(id);
      if (out.length >= wanted) break;
    }
    return out;
  } finally {
    sequence.dispose();
  }
}

const llama = await getLlama({gpu: false, build: 'never', logLevel: LlamaLogLevel.error});
let failed = false;
for (const file of files) {
  const result = {model: basename(file), texts: 0, same_tokens: 0, differences: []};
  try {
    const model = await llama.loadModel({modelPath: resolve(file), gpuLayers: 0});
    const context = await model.createContext({contextSize: 256, flashAttention: false, threads: 1});
    const allIds = prompts.map((prompt) => {
      const ids = model.tokenize(prompt);
      const bos = model.tokens.shouldPrependBosToken ? model.tokens.bos : null;
      return bos === null || ids[0] === bos ? ids : [bos, ...ids];
    });
    const mine = ours(file, allIds);
    const {architecture} = model.fileInfo.metadata.general;
    const experts = model.fileInfo.metadata[architecture]?.expert_count ?? 0;
    const bound = Number(flags.gap) * (experts > 0 ? 10 : 1);
    for (const [i, ids] of allIds.entries()) {
      const other = await theirs(context, ids);
      const length = Math.min(mine[i].ids.length, other.length);
      let same = 0;
      while (same < length && mine[i].ids[same] === other[same]) same++;
      result.texts++;
      result.same_tokens += same;
      if (same === length) continue;
      const gap = mine[i].gaps[same];
      result.differences.push({text: i, at: same, ours: mine[i].ids[same], theirs: other[same], gap});
      if (gap > bound) failed = true;
    }
    await context.dispose();
    await model.dispose();
  } catch (error) {
    result.error = String(error.message ?? error);
    failed = true;
  }
  if (flags.json) {
    console.log(JSON.stringify(result));
  } else if (result.error) {
    console.log(`${result.model.padEnd(24)} FAILED: ${result.error}`);
  } else {
    const list = result.differences.map((d) => `text ${d.text} token ${d.at}, gap ${d.gap.toFixed(4)}`);
    console.log(`${result.model.padEnd(24)} ${result.same_tokens} of ${result.texts * wanted} tokens the same` +
                (list.length ? `; first differences: ${list.join('; ')}` : ''));
  }
}
await llama.dispose();
if (folder) rmSync(folder, {recursive: true});
process.exit(failed ? 1 : 0);
