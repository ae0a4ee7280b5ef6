// The official OpenAI client: sampling, logprobs, output of a given form, tools, responses,
// embeddings. The models under test are tiny and talk nonsense; what is tested is the form, which no
// model may break.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import OpenAI from 'openai';

import { connect, reachable } from './connect.mjs';

const limit = { timeout: 120_000, skip: reachable() ? false : 'no server: see connect.mjs' };
let server;
let model;
let client;

before(async () => {
  if (!reachable()) return;
  server = await connect();
  model = server.model;
  client = new OpenAI({ baseURL: server.baseURL, apiKey: server.apiKey, maxRetries: 0 });
});
after(() => server?.close());

const messages = [{ role: 'user', content: 'Hi' }];
const schema = {
  type: 'object',
  properties: {
    dry: { type: 'boolean' },
    level: { type: 'integer', minimum: 0, maximum: 99 },
    name: { enum: ['dam', 'weir'] },
  },
  required: ['dry', 'level', 'name'],
  additionalProperties: false,
};
const tool = {
  type: 'function',
  function: { name: 'open_gate', description: 'opens', parameters: schema },
};
const bad = (param) => (e) => {
  assert.ok(e instanceof OpenAI.BadRequestError, String(e));
  assert.equal(e.param, param, e.message);
  return true;
};

function checkObject(text) {
  const value = JSON.parse(text);
  assert.deepEqual(Object.keys(value), ['dry', 'level', 'name']);
  assert.equal(typeof value.dry, 'boolean');
  assert.ok(Number.isInteger(value.level) && value.level >= 0 && value.level <= 99);
  assert.ok(['dam', 'weir'].includes(value.name));
}

test('several choices, each with its own index and text', limit, async () => {
  const c = await client.completions.create(
    { model, prompt: ['Once', 'The'], n: 3, max_tokens: 6, temperature: 1.5, seed: 1 });
  assert.deepEqual(c.choices.map((x) => x.index), [0, 1, 2, 3, 4, 5]);
  assert.ok(new Set(c.choices.map((x) => x.text)).size > 1);
  assert.ok(c.usage.completion_tokens <= 36 && c.usage.completion_tokens >= 6);
});

test('the same seed gives the same text, whatever else runs', limit, async () => {
  const ask = () => client.completions.create(
    { model, prompt: 'Once', max_tokens: 12, temperature: 1, seed: 42 });
  const alone = (await ask()).choices[0].text;
  const others = Promise.all(Array.from({ length: 6 }, (_, i) => client.completions.create(
    { model, prompt: 'The river', max_tokens: 12, seed: i }, { maxRetries: 5 })));
  const busy = (await client.completions.create(
    { model, prompt: 'Once', max_tokens: 12, temperature: 1, seed: 42 }, { maxRetries: 5 })).choices[0].text;
  await others;
  assert.equal(busy, alone);
});

test('logprobs and echo of a completion', limit, async () => {
  const c = await client.completions.create(
    { model, prompt: 'Once upon', max_tokens: 4, temperature: 0, logprobs: 3, echo: true });
  const { text, logprobs } = c.choices[0];
  assert.ok(text.startsWith('Once upon'));
  const n = logprobs.tokens.length;
  for (const list of ['token_logprobs', 'top_logprobs', 'text_offset']) assert.equal(logprobs[list].length, n);
  assert.ok(n > 4, 'the prompt has logprobs too');
  assert.ok(logprobs.token_logprobs.slice(1).every((p) => p <= 0));
  assert.ok(Object.keys(logprobs.top_logprobs[n - 1]).length <= 3);
  assert.deepEqual([...logprobs.text_offset].sort((a, b) => a - b), logprobs.text_offset);
  const scored = await client.completions.create(
    { model, prompt: 'Once upon', max_tokens: 0, logprobs: 1, echo: true });
  assert.equal(scored.choices[0].text, 'Once upon');
  assert.equal(scored.usage.completion_tokens, 0);
});

test('logprobs of a chat', limit, async () => {
  const c = await client.chat.completions.create(
    { model, messages, max_tokens: 4, temperature: 0, logprobs: true, top_logprobs: 2 });
  for (const token of c.choices[0].logprobs.content) {
    assert.ok(token.logprob <= 0 && Array.isArray(token.bytes));
    assert.equal(token.top_logprobs.length, 2);
    assert.equal(token.top_logprobs[0].token, token.token, 'greedy takes the likeliest');
  }
});

test('a bias forbids and commands tokens', limit, async () => {
  const root = server.baseURL.replace(/\/v1$/, '');
  const headers = { authorization: `Bearer ${server.apiKey}`, 'content-type': 'application/json' };
  const plain = { model, prompt: 'Once', max_tokens: 1, temperature: 0 };
  const free = (await client.completions.create(plain)).choices[0].text;
  const body = JSON.stringify({ model, content: free, with_pieces: true });
  const { tokens } = await (await fetch(`${root}/tokenize`, { method: 'POST', headers, body })).json();
  const bias = Object.fromEntries(tokens.map((id) => [id, -100]));
  const other = (await client.completions.create({ ...plain, logit_bias: bias })).choices[0].text;
  assert.notEqual(other, free);
  const back = await fetch(`${root}/detokenize`, { method: 'POST', headers, body: JSON.stringify({ model, tokens }) });
  assert.ok((await back.json()).content.includes(free.trim()));
});

test('json_schema, json_object and a regular expression hold', limit, async () => {
  const ask = (extra) => client.chat.completions.create({ model, messages, max_tokens: 120, seed: 3, ...extra });
  for (const temperature of [0, 1]) {
    const c = await ask({
      temperature,
      response_format: { type: 'json_schema', json_schema: { name: 'gate', strict: true, schema } },
    });
    assert.equal(c.choices[0].finish_reason, 'stop');
    checkObject(c.choices[0].message.content);
  }
  const c = await ask({ guided_regex: '(yes|no), [0-9]{3}' });
  assert.match(c.choices[0].message.content, /^(yes|no), [0-9]{3}$/);
  const choice = await ask({ guided_choice: ['upstream', 'downstream'] });
  assert.ok(['upstream', 'downstream'].includes(choice.choices[0].message.content));
  const object = await ask({ response_format: { type: 'json_object' }, max_tokens: 40 });
  if (object.choices[0].finish_reason === 'stop') JSON.parse(object.choices[0].message.content);
});

test('a streamed answer keeps to its schema too', limit, async () => {
  const stream = await client.chat.completions.create({
    model, messages, max_tokens: 120, stream: true,
    response_format: { type: 'json_schema', json_schema: { name: 'gate', strict: true, schema } },
  });
  let text = '';
  for await (const chunk of stream) text += chunk.choices[0]?.delta?.content ?? '';
  checkObject(text);
});

for (const stream of [false, true]) {
  test(`a tool that must be called is called, ${stream ? 'streamed' : 'whole'}`, limit, async () => {
    const request = {
      model, messages, tools: [tool], max_tokens: 140, seed: 5, parallel_tool_calls: false,
      tool_choice: { type: 'function', function: { name: 'open_gate' } },
    };
    let call;
    let finish;
    if (stream) {
      const runner = client.chat.completions.stream(request);
      const final = await runner.finalChatCompletion();
      [call] = final.choices[0].message.tool_calls;
      finish = final.choices[0].finish_reason;
    } else {
      const c = await client.chat.completions.create(request);
      [call] = c.choices[0].message.tool_calls;
      finish = c.choices[0].finish_reason;
    }
    assert.equal(finish, 'tool_calls');
    assert.equal(call.function.name, 'open_gate');
    checkObject(call.function.arguments);
    // The conversation goes on with the tool's answer.
    const next = await client.chat.completions.create({
      model, max_tokens: 4, tools: [tool], tool_choice: 'none',
      messages: [...messages, { role: 'assistant', content: null, tool_calls: [{ id: call.id, type: 'function', function: call.function }] },
        { role: 'tool', tool_call_id: call.id, content: 'open' }],
    });
    assert.equal(typeof next.choices[0].message.content, 'string');
  });
}

test('a response, whole', limit, async () => {
  const r = await client.responses.create(
    { model, input: 'Hi', instructions: 'Be brief.', max_output_tokens: 6, metadata: { k: 'v' } });
  assert.equal(r.object, 'response');
  assert.ok(['completed', 'incomplete'].includes(r.status));
  assert.equal(r.output[0].type, 'message');
  assert.equal(r.output_text, r.output[0].content[0].text);
  assert.equal(r.metadata.k, 'v');
  assert.ok(r.usage.output_tokens >= 1 && r.usage.total_tokens === r.usage.input_tokens + r.usage.output_tokens);
});

test('a response, as events', limit, async () => {
  const stream = client.responses.stream({ model, input: [{ role: 'user', content: 'Hi' }], max_output_tokens: 6 });
  const seen = new Set();
  let text = '';
  for await (const event of stream) {
    seen.add(event.type);
    if (event.type === 'response.output_text.delta') text += event.delta;
  }
  const final = await stream.finalResponse();
  assert.equal(text, final.output_text);
  for (const type of ['response.created', 'response.output_item.added', 'response.content_part.added',
    'response.output_text.done', 'response.output_item.done']) assert.ok(seen.has(type), type);
});

test('a response calls a function', limit, async () => {
  const r = await client.responses.create({
    model, input: 'Hi', max_output_tokens: 140, tool_choice: 'required', parallel_tool_calls: false,
    tools: [{ type: 'function', name: 'open_gate', parameters: schema, strict: true }],
  });
  const call = r.output.find((item) => item.type === 'function_call');
  assert.ok(call, JSON.stringify(r.output));
  checkObject(call.arguments);
  await assert.rejects(client.responses.create({ model, input: 'Hi', previous_response_id: r.id }), bad('previous_response_id'));
});

test('embeddings, of floats and of base64', limit, async () => {
  const floats = await client.embeddings.create({ model, input: ['river', 'stone'], encoding_format: 'float' });
  assert.equal(floats.data.length, 2);
  assert.deepEqual(floats.data.map((d) => d.index), [0, 1]);
  const length = Math.hypot(...floats.data[0].embedding);
  assert.ok(Math.abs(length - 1) < 1e-3, `unit length, not ${length}`);
  const packed = await client.embeddings.create({ model, input: ['river', 'stone'] }); // base64 underneath
  assert.equal(packed.data[1].embedding.length, floats.data[1].embedding.length);
  packed.data[1].embedding.forEach((x, i) => assert.ok(Math.abs(x - floats.data[1].embedding[i]) < 1e-3));
});

test('what is not offered is named', limit, async () => {
  const chat = (extra) => client.chat.completions.create({ model, messages, ...extra });
  await assert.rejects(chat({ logit_bias: { x: 1 } }), bad('logit_bias'));
  await assert.rejects(chat({ n: 0 }), bad('n'));
  await assert.rejects(chat({ tool_choice: 'required' }), bad('tool_choice'));
  await assert.rejects(chat({ tools: [{ type: 'function', function: { name: 'no blanks' } }] }), bad('tools[0].function.name'));
  await assert.rejects(chat({ messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'x' } }] }] }),
    bad('messages[0].content'));
  await assert.rejects(chat({ guided_regex: '(' }), bad('guided_regex'));
  await assert.rejects(chat({ grammar: 'root ::= nothing' }), bad('grammar'));
  await assert.rejects(client.completions.create({ model, prompt: 'a', suffix: 'b' }), bad('suffix'));
  await assert.rejects(client.embeddings.create({ model, input: [] }), bad('input'));
  await assert.rejects(client.embeddings.create({ model, input: 'a', dimensions: 3 }), bad('dimensions'));
});

test('errors before any handler have the API\'s shape', limit, async () => {
  const at = (path, init) => fetch(server.baseURL + path, { headers: { authorization: `Bearer ${server.apiKey}` }, ...init });
  for (const [path, init, status] of [
    ['/nowhere', {}, 404],
    ['/chat/completions', { method: 'GET' }, 405],
    ['/models', { method: 'DELETE', headers: { authorization: `Bearer ${server.apiKey}` } }, 405],
  ]) {
    const answer = await at(path, init);
    assert.equal(answer.status, status, path);
    const { error } = await answer.json();
    assert.ok(error.message && error.type === 'invalid_request_error', JSON.stringify(error));
  }
});
