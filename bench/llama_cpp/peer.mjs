// llama.cpp by way of node-llama-cpp, driven by bench/serve over lines of JSON on stdin and stdout.
//
//   {"op":"load","model":PATH,"threads":N,"sequences":N,"context":TOKENS}   -> {"ok":true}
//   {"op":"run","requests":[{"at_ms":0,"prompt":[ids],"max_tokens":N},...]}
//       -> {"requests":[{"token_ms":[..]},...]}   when each token came, since the run began
//
// Requests are answered greedily, as many at once as there are sequences, batched by llama.cpp in one
// context; later ones wait. A request's clock begins at its at_ms, also while it waits.
import {createInterface} from "node:readline";
import {performance} from "node:perf_hooks";
import {getLlama} from "node-llama-cpp";

let model, context;
const free = [];
const waiters = [];

async function load({model: modelPath, threads, sequences, context: contextSize}) {
    const llama = await getLlama({gpu: false, build: "never", maxThreads: threads, logLevel: "error"});
    model = await llama.loadModel({modelPath, gpuLayers: 0});
    context = await model.createContext({
        contextSize, sequences, batchSize: 512, threads,
        batching: {dispatchSchedule: "nextCycle", itemPrioritizationStrategy: "maximumParallelism"}
    });
    for (let i = 0; i < sequences; i++) free.push(context.getSequence());
    return {ok: true};
}

async function take() {
    if (free.length > 0) return free.pop();
    return await new Promise((resolve) => waiters.push(resolve));
}
function give(sequence) {
    const next = waiters.shift();
    if (next) next(sequence);
    else free.push(sequence);
}

async function answer(request, began) {
    const wait = request.at_ms - (performance.now() - began);
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    const sequence = await take();
    const out = {token_ms: []};
    try {
        for await (const token of sequence.evaluate(request.prompt, {temperature: 0, yieldEogToken: true})) {
            void token;
            out.token_ms.push(performance.now() - began);
            if (out.token_ms.length >= request.max_tokens) break;
        }
        await sequence.clearHistory();
    } finally {
        give(sequence);
    }
    return out;
}

async function run({requests}) {
    const began = performance.now();
    return {requests: await Promise.all(requests.map((request) => answer(request, began)))};
}

for await (const line of createInterface({input: process.stdin})) {
    if (line.trim() === "") continue;
    const message = JSON.parse(line);
    let reply;
    try {
        reply = message.op === "load" ? await load(message) : await run(message);
    } catch (error) {
        reply = {error: String(error?.stack ?? error)};
    }
    process.stdout.write(JSON.stringify(reply) + "\n");
}
process.exit(0);
