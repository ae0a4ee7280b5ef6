// Vercel's AI SDK with its OpenAI-compatible provider: text, streams, aborts, objects, tools,
// embeddings, errors.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { embedMany, generateObject, generateText, jsonSchema, streamText, tool } from 'ai';

import { connect, reachable } from './connect.mjs';

const limit = { timeout: 120_000, skip: reachable() ? false : 'no server: see connect.mjs' };
let server;
let weir;
let chat;

before(async () => {
  if (!reachable()) return;
  server = await connect();
  weir = createOpenAICompatible({
    name: 'weir', baseURL: server.baseURL, apiKey: server.apiKey,
    includeUsage: true, supportsStructuredOutputs: true,
  });
  chat = weir.chatModel(server.model);
});
after(() => server?.close());

const schema = jsonSchema({
  type: 'object',
  properties: { level: { type: 'integer', minimum: 0, maximum: 9 }, side: { enum: ['left', 'right'] } },
  required: ['level', 'side'],
  additionalProperties: false,
});

test('generates text', limit, async () => {
  const r = await generateText({ model: chat, prompt: 'Hi', maxOutputTokens: 6, temperature: 0, maxRetries: 0 });
  assert.equal(typeof r.text, 'string');
  assert.ok(['stop', 'length'].includes(r.finishReason));
  assert.ok(r.usage.outputTokens >= 1);
});

test('streams text, the same as whole', limit, async () => {
  const ask = { model: chat, system: 'Be brief.', prompt: 'Hi', maxOutputTokens: 8, temperature: 0, maxRetries: 0 };
  const stream = streamText(ask);
  let text = '';
  for await (const piece of stream.textStream) text += piece;
  assert.equal(text, (await generateText(ask)).text);
  assert.ok((await stream.usage).outputTokens >= 1);
});

test('an abort ends a stream', limit, async () => {
  const controller = new AbortController();
  const stream = streamText({
    model: weir.completionModel(server.model), prompt: 'Once', maxOutputTokens: 200,
    abortSignal: controller.signal, maxRetries: 0, onError() {},
  });
  let seen = 0;
  try {
    for await (const _ of stream.textStream) if (++seen === 1) controller.abort();
  } catch (e) {
    assert.equal(e.name, 'AbortError');
  }
  assert.ok(seen >= 1);
  await generateText({ model: chat, prompt: 'Hi', maxOutputTokens: 2 });
});

test('generates objects of a schema', limit, async () => {
  const r = await generateObject({ model: chat, schema, prompt: 'Hi', maxOutputTokens: 120, seed: 1, maxRetries: 0 });
  assert.ok(Number.isInteger(r.object.level) && r.object.level >= 0 && r.object.level <= 9);
  assert.ok(['left', 'right'].includes(r.object.side));
});

test('calls a tool and goes on with its answer', limit, async () => {
  let asked = null;
  const r = await generateText({
    model: chat, prompt: 'Hi', maxOutputTokens: 140, seed: 2, maxRetries: 0, toolChoice: 'required', providerOptions: { weir: { parallel_tool_calls: false } },
    tools: { gate: tool({ description: 'opens a gate', inputSchema: schema, execute: async (input) => { asked = input; return 'open'; } }) },
  });
  assert.equal(r.finishReason, 'tool-calls');
  assert.ok(['left', 'right'].includes(asked.side));
  assert.equal(r.toolResults[0].output, 'open');
  const next = await generateText({
    model: chat, maxOutputTokens: 4, maxRetries: 0,
    messages: [{ role: 'user', content: 'Hi' }, ...r.response.messages],
  });
  assert.equal(typeof next.text, 'string');
});

test('embeds', limit, async () => {
  const r = await embedMany({ model: weir.textEmbeddingModel(server.model), values: ['river', 'stone', 'river'], maxRetries: 0 });
  assert.equal(r.embeddings.length, 3);
  r.embeddings[0].forEach((x, i) => assert.ok(Math.abs(x - r.embeddings[2][i]) < 1e-4));
});

test('errors carry the sentence of the server', limit, async () => {
  await assert.rejects(generateText({ model: weir.chatModel('no-such-model'), prompt: 'Hi', maxRetries: 0 }), (e) => {
    assert.equal(e.statusCode, 404);
    assert.match(e.message, /no-such-model/);
    return true;
  });
  await assert.rejects(generateText({ model: chat, prompt: 'river '.repeat(40_000), maxRetries: 0 }), (e) => {
    assert.equal(e.statusCode, 400);
    assert.match(e.message, /context/);
    return true;
  });
});
