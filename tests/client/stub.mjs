// A stand-in for Weir that is just good enough for openai_test.mjs to test itself: fixed words, a
// bound of slots that only a finished or aborted request frees, and OpenAI's error shapes.
import http from 'node:http';

const kWords = ' the river went by and the old stone stayed where it was'.split(/(?= )/);
const kContext = 4096;

export async function start({ slots, key, model }) {
  let busy = 0;
  let next = 0;
  const waiting = [];
  const acquire = (res) => new Promise((resolve) => {
    const take = () => {
      ++busy;
      res.once('close', () => {
        --busy;
        waiting.shift()?.();
      });
      resolve();
    };
    busy < slots ? take() : waiting.push(take);
  });

  const refuse = (res, status, code, message, param = null) => {
    res.writeHead(status, { 'content-type': 'application/json' });
    res.end(JSON.stringify({ error: { message, type: 'invalid_request_error', param, code } }));
  };

  const server = http.createServer(async (req, res) => {
    let text = '';
    for await (const piece of req) text += piece;
    if (req.headers.authorization !== `Bearer ${key}`) {
      return refuse(res, 401, 'invalid_api_key', 'bad key');
    }
    const info = { id: model, object: 'model', created: 0, owned_by: 'stub' };
    const send = (body) => {
      res.writeHead(200, { 'content-type': 'application/json' });
      res.end(JSON.stringify(body));
    };
    if (req.url === '/v1/models') return send({ object: 'list', data: [info] });
    if (req.url === `/v1/models/${model}`) return send(info);
    const r = JSON.parse(text);
    const chat = req.url === '/v1/chat/completions';
    if (r.model !== model) return refuse(res, 404, 'model_not_found', `no model ${r.model}`, 'model');
    if (r.temperature < 0) return refuse(res, 400, null, 'temperature is negative', 'temperature');
    if ((r.prompt ?? '').length / 4 > kContext) {
      return refuse(res, 400, 'context_length_exceeded', 'the prompt is too long', 'prompt');
    }
    await acquire(res);
    const id = `cmpl-${++next}`;
    const n = r.max_tokens ?? 16;
    const words = Array.from({ length: n }, (_, i) => kWords[i % kWords.length]);
    const usage = { prompt_tokens: 4, completion_tokens: n, total_tokens: n + 4 };
    const choice = (word, finish, first) => ({
      index: 0,
      finish_reason: finish,
      logprobs: null,
      ...(!chat ? { text: word }
        : r.stream ? { delta: first ? { role: 'assistant', content: word } : { content: word } }
        : { message: { role: 'assistant', content: word } }),
    });
    const object = chat ? 'chat.completion' : 'text_completion';
    if (!r.stream) {
      return send({ id, object, created: 0, model, choices: [choice(words.join(''), 'length')],
                    usage });
    }
    res.writeHead(200, { 'content-type': 'text/event-stream' });
    const event = (body) => res.write(`data: ${JSON.stringify(body)}\n\n`);
    const head = { id, object: chat ? 'chat.completion.chunk' : object, created: 0, model };
    for (let i = 0; i < n && !res.destroyed; ++i) {
      event({ ...head, choices: [choice(words[i], i + 1 === n ? 'length' : null, i === 0)] });
      await new Promise((done) => setTimeout(done, n > 50 ? 100 : 1));
    }
    if (r.stream_options?.include_usage) event({ ...head, choices: [], usage });
    res.end('data: [DONE]\n\n');
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  return {
    baseURL: `http://127.0.0.1:${server.address().port}/v1`,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}
