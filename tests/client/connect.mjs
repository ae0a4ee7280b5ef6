// What the tests talk to: a server that runs already, or `weir serve` started here.
//
//   WEIR_BASE_URL  http://127.0.0.1:7575/v1, with WEIR_API_KEY, WEIR_MODEL and WEIR_SLOTS (how many
//                  requests it works on at once)
//   WEIR_PROGRAM   the program, and WEIR_TEST_MODEL or WEIR_SHARED/models/stories260K: then a server of
//                  our own is started on a free port and stopped again
// Neither: `connect` returns null, and the tests are skipped.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';

const kOurKey = 'client-test-key';
const kOurSlots = 4;

export function reachable() {
  return Boolean(process.env.WEIR_BASE_URL) || Boolean(process.env.WEIR_PROGRAM && modelPath());
}

function modelPath() {
  const shared = process.env.WEIR_SHARED && `${process.env.WEIR_SHARED}/models/stories260K/stories260K-f32.gguf`;
  return [process.env.WEIR_TEST_MODEL, shared].find((path) => path && existsSync(path));
}

export async function connect() {
  if (process.env.WEIR_BASE_URL) {
    return {
      baseURL: process.env.WEIR_BASE_URL,
      apiKey: process.env.WEIR_API_KEY ?? 'none',
      model: process.env.WEIR_MODEL ?? 'story',
      slots: Number(process.env.WEIR_SLOTS ?? 8),
      close() {},
    };
  }
  const child = spawn(
    process.env.WEIR_PROGRAM,
    ['serve', modelPath(), '--listen', '127.0.0.1:0', '--name', 'story', '--alias', 'gpt-story',
      '--parallel', String(kOurSlots), '--api-key-env', 'CLIENT_TEST_KEY'],
    { env: { ...process.env, CLIENT_TEST_KEY: kOurKey }, stdio: ['ignore', 'pipe', 'inherit'] });
  const url = await new Promise((found, failed) => {
    let said = '';
    child.stdout.on('data', (bytes) => {
      said += bytes;
      const match = /serving .* on (http:\S+)/.exec(said);
      if (match) found(match[1]);
    });
    child.once('exit', (code) => failed(new Error(`weir serve ended with ${code}: ${said}`)));
  });
  child.removeAllListeners('exit');
  return {
    baseURL: `${url}/v1`,
    apiKey: kOurKey,
    model: 'story',
    slots: kOurSlots,
    // Drains; whatever hangs is cut after the grace of 20 s.
    close: () => new Promise((done) => {
      child.once('exit', done);
      child.kill('SIGTERM');
    }),
  };
}
