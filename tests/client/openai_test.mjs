// The official OpenAI client: models, completions, chat, streams, aborts, errors (see connect.mjs for what it
// talks to). The abort test leaves more streams than there are slots, and only freed slots let the next
// request through.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import OpenAI from 'openai';

import { connect, reachable } from './connect.mjs';

const limit = { timeout: 60_000, skip: reachable() ? false : 'no server: see connect.mjs' };
let server;
let model;
let slots;
let baseURL;
let apiKey;
let client;

before(async () => {
  if (!reachable()) return;
  server = await connect();
  ({ baseURL, apiKey, model, slots } = server);
  client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
});
after(() => server?.close());

const tell = (extra = {}) => ({
  model,
  prompt: 'Once upon a time',
  max_tokens: 8,
  temperature: 0,
  ...extra,
});

test('lists the model', limit, async () => {
  const ids = [];
  for await (const m of client.models.list()) ids.push(m.id);
  assert.ok(ids.includes(model), `${model} is among ${ids}`);
  assert.equal((await client.models.retrieve(model)).id, model);
});

test('completes', limit, async () => {
  const c = await client.completions.create(tell());
  assert.equal(c.object, 'text_completion');
  assert.equal(typeof c.choices[0].text, 'string');
  assert.ok(['stop', 'length'].includes(c.choices[0].finish_reason));
  assert.ok(c.usage.completion_tokens >= 1 && c.usage.completion_tokens <= 8);
  assert.equal(c.usage.total_tokens, c.usage.prompt_tokens + c.usage.completion_tokens);
});

test('chats', limit, async () => {
  const c = await client.chat.completions.create({
    model,
    messages: [{ role: 'user', content: 'Tell me of the river. Grüße, 水.' }],
    max_tokens: 8,
  });
  assert.equal(c.object, 'chat.completion');
  assert.equal(c.choices[0].message.role, 'assistant');
  assert.equal(typeof c.choices[0].message.content, 'string');
});

test('streams a completion, with usage', limit, async () => {
  const stream = await client.completions.create(
    tell({ stream: true, stream_options: { include_usage: true } }));
  let text = '';
  let chunks = 0;
  let usage = null;
  let finish = null;
  for await (const chunk of stream) {
    ++chunks;
    if (chunk.usage) usage = chunk.usage;
    if (chunk.choices.length > 0) {
      text += chunk.choices[0].text;
      finish = chunk.choices[0].finish_reason ?? finish;
    }
  }
  assert.ok(chunks >= 2, `${chunks} chunks`);
  assert.ok(['stop', 'length'].includes(finish));
  assert.ok(usage && usage.completion_tokens >= 1);
  const whole = await client.completions.create(tell());
  assert.equal(text, whole.choices[0].text, 'greedy: streamed and whole are the same text');
});

test('streams a chat', limit, async () => {
  const stream = await client.chat.completions.create({
    model,
    messages: [{ role: 'user', content: 'Hello' }],
    max_tokens: 8,
    stream: true,
  });
  let role = null;
  let finish = null;
  for await (const chunk of stream) {
    role ??= chunk.choices[0]?.delta?.role ?? null;
    finish = chunk.choices[0]?.finish_reason ?? finish;
  }
  assert.equal(role, 'assistant');
  assert.ok(['stop', 'length'].includes(finish));
});

test('an abort in the middle frees the slot', limit, async () => {
  for (let i = 0; i < 2 * slots; ++i) {
    const stream = await client.completions.create(
      tell({ stream: true, max_tokens: 100, ignore_eos: true }));
    let seen = 0;
    for await (const _ of stream) {
      if (++seen === 1) break; // leaving the loop aborts the request
    }
    assert.equal(seen, 1);
    stream.controller.abort();
  }
  const c = await client.completions.create(tell({ max_tokens: 2 }), { timeout: 20_000 });
  assert.ok(c.usage.completion_tokens >= 1);
});

test('an abort before the first byte is an abort', limit, async () => {
  const controller = new AbortController();
  const promise = client.completions.create(tell({ max_tokens: 100, ignore_eos: true }),
                                            { signal: controller.signal });
  controller.abort();
  await assert.rejects(promise, OpenAI.APIUserAbortError);
  await client.completions.create(tell({ max_tokens: 2 }));
});

test('a bad key is an AuthenticationError', limit, async () => {
  const stranger = new OpenAI({ baseURL, apiKey: 'not-a-key', maxRetries: 0 });
  await assert.rejects(stranger.completions.create(tell()), (e) => {
    assert.ok(e instanceof OpenAI.AuthenticationError, String(e));
    assert.equal(e.status, 401);
    assert.equal(e.code, 'invalid_api_key');
    return true;
  });
});

test('a bad model is a NotFoundError', limit, async () => {
  await assert.rejects(client.completions.create(tell({ model: 'no-such-model' })), (e) => {
    assert.ok(e instanceof OpenAI.NotFoundError, String(e));
    assert.equal(e.code, 'model_not_found');
    assert.match(e.message, /no-such-model/);
    return true;
  });
});

test('too long a prompt is a BadRequestError', limit, async () => {
  const prompt = 'river and stone, '.repeat(20_000);
  for (const stream of [false, true]) {
    await assert.rejects(client.completions.create(tell({ prompt, stream })), (e) => {
      assert.ok(e instanceof OpenAI.BadRequestError, String(e));
      assert.equal(e.code, 'context_length_exceeded');
      return true;
    });
  }
});

test('a wrong parameter is named', limit, async () => {
  await assert.rejects(client.completions.create(tell({ temperature: -1 })), (e) => {
    assert.ok(e instanceof OpenAI.BadRequestError, String(e));
    assert.equal(e.param, 'temperature');
    return true;
  });
});

test('concurrent streams each get their own answer', limit, async () => {
  // More than there are slots: some wait, none is lost.
  const patient = new OpenAI({ baseURL, apiKey, maxRetries: 5 });
  const one = async () => {
    const stream = await patient.completions.create(
      tell({ stream: true, stream_options: { include_usage: true } }));
    const ids = new Set();
    let tokens = 0;
    for await (const chunk of stream) {
      ids.add(chunk.id);
      tokens = chunk.usage?.completion_tokens ?? tokens;
    }
    assert.equal(ids.size, 1, 'one stream, one id');
    assert.ok(tokens >= 1);
    return [...ids][0];
  };
  const ids = await Promise.all(Array.from({ length: 3 * slots }, one));
  assert.equal(new Set(ids).size, ids.length);
});
