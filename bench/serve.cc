// bench/serve: the whole engine on a Llama shape of 1.1 billion parameters, beside llama.cpp on the
// same file in the same run.
//
//   serve_bench SECTION... [--type q8_0] [--rounds 5] [--threads N] [--models /tmp] [--rate 1.5]
//               [--peer bench/llama_cpp | --no-peer] [--isa avx2] [--json FILE]
//
//   make        writes the model file
//   limits      what the machine can do: read bandwidth, operations a second on registers
//   decode      one stream, 48 tokens: tokens a second
//   batch8, batch16, batch32   so many streams together
//   prefill     a prompt of 512 tokens
//   prefix      16 clients at once whose prompts share 512 tokens: seconds for all answers
//   poisson     open-loop arrivals, short and long prompts: goodput (TTFT <= 2 s, TPOT <= 150 ms)
//   neighbours  p99 TTFT of short prompts, alone and beside long ones (Weir alone)
//   speculate   one stream of text that repeats, with and without prompt lookup (Weir alone)
//   overheads   logprobs, an adapter, a JSON schema; what of a step is not arithmetic (Weir alone)
//   start       from the start of a process to its first token; memory (Weir alone)
//
// Each section takes less than 75 seconds for one type. Rounds alternate between Weir and the peer,
// so that whatever else the machine does falls on both; medians, spread and the median of the
// ratios pair by pair are printed, and beside them the limit measured in this run: decoding reads
// every matrix but the embedding once a token, prefill multiplies them all (the head for the last
// token alone). Drafts are off but in `speculate`. Keys and values are f16, as the peer's. --isa
// holds Weir to an instruction set; to hold llama.cpp to AVX2, give --peer a copy of its folder in
// which libggml-cpu-haswell.so is the best of the libggml-cpu-*.so.
#include <fmt/format.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/version.h"
#include "engine/kernels/kernels.h"
#include "engine/model/safetensors.h"
#include "engine/serve/engine.h"
#include "engine/serve/output_constraint.h"
#include "io/clock.h"
#include "io/files.h"
#include "serve_model.h"
#include "serve_peer.h"

namespace {

using namespace weir;
using bench::BenchRequest;
using bench::Runner;
using bench::Timing;

constexpr int kSequences = 32, kContext = 1536, kFirstWord = 300, kVocabulary = 32000;
constexpr double kGoodTtftMs = 2000, kGoodTpotMs = 150;

struct Flags {
  std::vector<std::string> sections;
  std::string type = "q8_0", models = "/tmp", peer = "bench/llama_cpp", isa, json, child;
  int rounds = 5, threads = static_cast<int>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN)));
  double rate = 1.5;
};

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}
double Median(std::vector<double> x) {
  if (x.empty()) return 0;
  std::sort(x.begin(), x.end());
  return x.size() % 2 == 1 ? x[x.size() / 2] : (x[x.size() / 2 - 1] + x[x.size() / 2]) / 2;
}
double Quantile(std::vector<double> x, double q) {
  if (x.empty()) return 0;
  std::sort(x.begin(), x.end());
  return x[std::min(x.size() - 1, static_cast<size_t>(q * static_cast<double>(x.size())))];
}

nlohmann::json results = nlohmann::json::array();

// One line of the table. Larger is better unless `seconds`.
void Report(const Flags& flags, const std::string& what, const std::string& unit,
            const std::vector<double>& ours, const std::vector<double>& theirs, double limit = 0) {
  std::string line = fmt::format("{:<7}{:<22}{:>9.2f} {:<9} [{:.2f} .. {:.2f}]", flags.type, what,
                                 Median(ours), unit, Quantile(ours, 0), Quantile(ours, 1));
  nlohmann::json row = {{"type", flags.type}, {"what", what}, {"unit", unit}, {"weir", ours}};
  if (limit > 0) {
    line += fmt::format("  {:.0f}% of {:.1f}", 100 * Median(ours) / limit, limit);
    row["limit"] = limit;
  }
  if (!theirs.empty()) {
    std::vector<double> ratios;
    for (size_t i = 0; i < std::min(ours.size(), theirs.size()); ++i) {
      ratios.push_back(unit == "s" ? theirs[i] / ours[i] : ours[i] / theirs[i]);
    }
    line += fmt::format("  llama.cpp {:.2f} [{:.2f} .. {:.2f}], x{:.2f}", Median(theirs),
                        Quantile(theirs, 0), Quantile(theirs, 1), Median(ratios));
    row["llama_cpp"] = theirs;
    row["ratio"] = Median(ratios);
  }
  fmt::print("{}\n", line);
  std::fflush(stdout);
  results.push_back(row);
}

// ---- the machine -----------------------------------------------------------------------------

struct Limits {
  double bytes_per_second = 0, int8_ops = 0, bf16_ops = 0, f32_ops = 0;
};

Limits Measure(int threads) {
  kernels::ThreadPool pool(threads);
  Limits limits;
  constexpr int64_t kBytes = int64_t{512} << 20;
  kernels::WeightMemory weights;  // lying as weights do
  const std::shared_ptr<std::byte> memory = weights.Take(kBytes);
  std::memset(memory.get(), 1, kBytes);
  uint64_t sum = 0;
  for (int i = 0; i < 6; ++i) {
    const double begin = Now();
    sum += kernels::ReadAll(&pool, memory.get(), kBytes);
    limits.bytes_per_second = std::max(limits.bytes_per_second, kBytes / (Now() - begin));
  }
  const auto peak = [&](kernels::Unit unit) {
    double best = 0;
    for (int i = 0; i < 4; ++i) {
      const double begin = Now();
      const auto done = static_cast<double>(kernels::BurnPeakFlops(&pool, 20, unit));
      best = std::max(best, done / (Now() - begin));
    }
    return best;
  };
  limits.f32_ops = peak(kernels::Unit::kF32);
  limits.bf16_ops = peak(kernels::Unit::kBf16);
  limits.int8_ops = peak(kernels::Unit::kInt8);
  if (sum == 0) std::abort();
  return limits;
}

// ---- the engines -----------------------------------------------------------------------------

struct Work {
  double matrix_bytes = 0, matrix_values = 0, head_values = 0;
};
// Of the matrices that a token is multiplied with.
Work WorkOf(const model::Model& model) {
  Work work;
  for (const model::TensorView& tensor : model.tensors()) {
    if (tensor.shape.size() != 2 || tensor.name.find("embed") != std::string::npos ||
        tensor.name.find("token_embd") != std::string::npos) {
      continue;
    }
    work.matrix_bytes += static_cast<double>(tensor.data.size());
    const auto values = static_cast<double>(tensor.elements());
    const bool head =
        tensor.name.find("lm_head") != std::string::npos || tensor.name == "output.weight";
    (head ? work.head_values : work.matrix_values) += values;
  }
  return work;
}

// As `weir serve` does it.
Result<std::shared_ptr<const model::Model>> LoadModel(const std::string& path, int threads) {
  kernels::ThreadPool pool(threads);
  return model::Model::Load(path, &pool);
}
Result<std::shared_ptr<const model::Model>> LoadModel(const Flags& flags) {
  return LoadModel(TRY(bench::BenchModel(flags.models, flags.type)), flags.threads);
}

serve::EngineOptions Options(const Flags& flags) {
  serve::EngineOptions options;
  options.max_batch = kSequences;
  options.context = kContext;
  options.threads = flags.threads;
  options.speculative_rows = 0;
  options.max_queue = 1000;
  return options;
}

std::vector<int32_t> Prompt(Random& random, int tokens) {
  std::vector<int32_t> prompt = {1};
  while (static_cast<int>(prompt.size()) < tokens) {
    prompt.push_back(static_cast<int32_t>(kFirstWord + random.Below(kVocabulary - kFirstWord)));
  }
  return prompt;
}

// ---- sections --------------------------------------------------------------------------------

using Requests = std::vector<BenchRequest>;

// Tokens a second while all streams decode: from when the last of them began until the first of
// them is done. (Prompts that are still computed then would be counted as decoding.)
double TokensPerSecond(const std::vector<Timing>& timings) {
  double begin = 0, end = timings[0].last_ms(), tokens = 0;
  for (const Timing& t : timings) {
    begin = std::max(begin, t.first_ms());
    end = std::min(end, t.last_ms());
  }
  for (const Timing& t : timings) {
    for (const double at : t.token_ms) tokens += at > begin && at <= end ? 1 : 0;
  }
  return end > begin ? 1000 * tokens / (end - begin) : 0;
}

struct Both {
  std::vector<double> ours, theirs;
};
// Rounds of the same requests for both, Weir first; `judge` makes a number of what came.
Result<Both> Alternate(const Flags& flags, Runner& ours, Runner* peer,
                       const std::function<Requests(uint64_t round)>& requests,
                       const std::function<double(const std::vector<Timing>&)>& judge) {
  Both both;
  for (int round = -1; round < flags.rounds; ++round) {  // the first one warms up
    const Requests list = requests(static_cast<uint64_t>(round + 2));
    const double mine = judge(TRY(ours.Run(list)));
    const double other = peer == nullptr ? 0 : judge(TRY(peer->Run(list)));
    if (round < 0) continue;
    both.ours.push_back(mine);
    if (peer != nullptr) both.theirs.push_back(other);
  }
  return both;
}

// The share of requests that were answered in time, times their number: good answers a second.
double Goodput(const Requests& requests, const std::vector<Timing>& timings) {
  double good = 0, last = 0;
  for (size_t i = 0; i < requests.size(); ++i) {
    const Timing& t = timings[i];
    last = std::max(last, requests[i].at_ms);
    if (t.tokens() < requests[i].max_tokens) continue;
    const double ttft = t.first_ms() - requests[i].at_ms;
    const double tpot = t.tokens() > 1 ? (t.last_ms() - t.first_ms()) / (t.tokens() - 1) : 0;
    good += ttft <= kGoodTtftMs && tpot <= kGoodTpotMs ? 1 : 0;
  }
  return 1000 * good / last;
}

Requests PoissonLoad(double rate, double seconds, uint64_t seed) {
  Random random(seed);
  Requests list;
  for (double at = 0; at < seconds; at += random.Exponential(1 / rate)) {
    const bool large = random.Chance(0.15);
    list.push_back({1000 * at,
                    Prompt(random, static_cast<int>(large ? random.Between(400, 900)
                                                          : random.Between(16, 128))),
                    static_cast<int>(random.Between(8, 48))});
  }
  return list;
}

Status ServingSection(const Flags& flags, const std::string& section) {
  const std::string path = TRY(bench::BenchModel(flags.models, flags.type));
  const bool alone = section == "neighbours";
  std::unique_ptr<Runner> peer;
  if (!flags.peer.empty() && !alone) {
    auto started = bench::PeerRunner({.folder = flags.peer,
                                      .model = path,
                                      .threads = flags.threads,
                                      .sequences = kSequences,
                                      .context = kContext});
    if (started) {
      peer = *std::move(started);
    } else {
      fmt::print("without a peer: {}\n", started.error().ToString());
    }
  }
  const Limits limits = Measure(flags.threads);
  const auto model = TRY(LoadModel(flags));
  const Work work = WorkOf(*model);
  const io::RealClock clock;
  const auto engine = TRY(serve::Engine::Create(model, Options(flags), clock));
  const auto ours = bench::OurRunner(*engine);
  const double operations = flags.type == "bf16" ? limits.bf16_ops : limits.int8_ops;
  const auto batch = [&](int streams, int tokens) {
    return [streams, tokens](uint64_t round) {
      Random random(round);
      Requests list;
      for (int i = 0; i < streams; ++i) list.push_back({0, Prompt(random, 16), tokens});
      return list;
    };
  };
  if (section == "decode") {
    const Both b = TRY(Alternate(flags, *ours, peer.get(), batch(1, 48), TokensPerSecond));
    Report(flags, "decode", "tokens/s", b.ours, b.theirs,
           limits.bytes_per_second / work.matrix_bytes);
  } else if (section.starts_with("batch")) {
    const int streams = std::atoi(section.c_str() + 5);
    if (streams < 1 || streams > kSequences) {
      return Error(Code::kInvalidArgument, "a batch of 1 to 32 streams");
    }
    const Both b = TRY(Alternate(flags, *ours, peer.get(), batch(streams, 32), TokensPerSecond));
    const double by_arithmetic = operations / (2 * (work.matrix_values + work.head_values));
    Report(flags, fmt::format("{} streams", streams), "tokens/s", b.ours, b.theirs,
           std::min(by_arithmetic, streams * limits.bytes_per_second / work.matrix_bytes));
  } else if (section == "prefill") {
    const auto one = [](uint64_t round) {
      Random random(round);
      return Requests{{0, Prompt(random, 512), 1}};
    };
    const Both b = TRY(Alternate(flags, *ours, peer.get(), one, [](const auto& timings) {
      return 512'000 / timings[0].first_ms();
    }));
    Report(flags, "prefill 512", "tokens/s", b.ours, b.theirs,
           operations / (2 * (work.matrix_values + work.head_values / 512)));
  } else if (section == "prefix") {
    const auto clients = [](uint64_t round) {
      Random random(round);
      const std::vector<int32_t> shared = Prompt(random, 512);
      Requests list;
      for (int i = 0; i < 16; ++i) {
        std::vector<int32_t> prompt = shared;
        for (const int32_t t : Prompt(random, 16)) prompt.push_back(t);
        list.push_back({0, prompt, 8});
      }
      return list;
    };
    Flags fewer = flags;
    fewer.rounds = std::min(flags.rounds, peer ? 1 : flags.rounds);  // the peer takes a minute
    const Both b = TRY(Alternate(fewer, *ours, peer.get(), clients, [](const auto& timings) {
      double last = 0;
      for (const Timing& t : timings) last = std::max(last, t.last_ms());
      return last / 1000;
    }));
    Report(flags, "16 x 512 shared", "s", b.ours, b.theirs);
  } else if (section == "poisson") {
    std::vector<double> mine, other;
    for (int round = 0; round < std::min(flags.rounds, 2); ++round) {
      const Requests list = PoissonLoad(flags.rate, 10, static_cast<uint64_t>(round + 1));
      const std::vector<Timing> timings = TRY(ours->Run(list));
      mine.push_back(Goodput(list, timings));
      if (peer) other.push_back(Goodput(list, TRY(peer->Run(list))));
    }
    Report(flags, fmt::format("goodput at {}/s", flags.rate), "good/s", mine, other);
  } else if (section == "neighbours") {
    const auto ttft = [&](bool neighbours) -> Result<double> {
      Random random(7);
      Requests list;
      for (int i = 0; i < 40; ++i) list.push_back({500.0 * i, Prompt(random, 48), 4});
      const size_t shorts = list.size();
      if (neighbours) {
        for (int i = 0; i < 2; ++i) list.push_back({9000.0 * i, Prompt(random, 1024), 4});
      }
      // Sent in the order of their times; told apart by their length.
      std::stable_sort(list.begin(), list.end(),
                       [](const auto& a, const auto& b) { return a.at_ms < b.at_ms; });
      const std::vector<Timing> timings = TRY(ours->Run(list));
      std::vector<double> waits;
      for (size_t i = 0; i < list.size(); ++i) {
        if (list[i].prompt.size() == 48) waits.push_back(timings[i].first_ms() - list[i].at_ms);
      }
      if (waits.size() != shorts) std::abort();
      return Quantile(waits, 0.99) / 1000;
    };
    Report(flags, "p99 TTFT alone", "s", { TRY(ttft(false)) }, {});
    Report(flags, "p99 TTFT beside long", "s", { TRY(ttft(true)) }, {});
  }
  const serve::EngineStats stats = engine->stats();
  fmt::print(
      "        of a step {:.2f}% is not arithmetic; mean batch {:.1f}; KV {} bytes a token\n",
      100 * static_cast<double>(stats.overhead.sum_us) /
          static_cast<double>(std::max<int64_t>(1, stats.step.sum_us)),
      static_cast<double>(stats.batch_sequences) /
          static_cast<double>(std::max<uint64_t>(1, stats.steps)),
      stats.kv_bytes_per_token);
  return {};
}

// A fixed function of the last token repeats itself sooner or later; the prompt is its own text.
Status Speculate(const Flags& flags) {
  const auto model = TRY(LoadModel(flags));
  const io::RealClock clock;
  std::vector<int32_t> text;
  {
    const auto engine = TRY(serve::Engine::Create(model, Options(flags), clock));
    std::mutex mutex;
    std::condition_variable done;
    bool last = false;
    Random random(3);
    serve::GenerateRequest ask{.prompt = Prompt(random, 4),
                               .max_tokens = 500,
                               .sampling = {.temperature = 0},
                               .ignore_eos = true};
    text = ask.prompt;
    TRY(engine->Submit(ask, [&](const serve::Event& event) {
      const std::lock_guard lock(mutex);
      text.insert(text.end(), event.tokens.begin(), event.tokens.end());
      last = event.last;
      if (last) done.notify_all();
    }));
    std::unique_lock lock(mutex);
    done.wait(lock, [&] { return last; });
  }
  const auto one = [&](uint64_t) { return Requests{{0, text, 96}}; };
  std::map<int, std::vector<double>> rates;
  for (const int rows : {0, 16}) {
    serve::EngineOptions options = Options(flags);
    options.speculative_rows = rows;
    const auto engine = TRY(serve::Engine::Create(model, options, clock));
    const auto ours = bench::OurRunner(*engine);
    rates[rows] = TRY(Alternate(flags, *ours, nullptr, one, TokensPerSecond))
    .ours;
    const serve::EngineStats stats = engine->stats();
    fmt::print("        {} rows: {} of {} drafts right\n", rows, stats.accepted_tokens,
               stats.drafted_tokens);
  }
  Report(flags, "one stream, no drafts", "tokens/s", rates[0], {});
  Report(flags, "one stream, drafts", "tokens/s", rates[16], {});
  fmt::print("        x{:.2f}\n", Median(rates[16]) / Median(rates[0]));
  return {};
}

// An adapter of rank 16 on every matrix.
Status WriteAdapter(const std::string& folder, const model::ModelConfig& c) {
  TRY(io::WriteFileAtomically(folder + "/adapter_config.json",
                              R"({"peft_type":"LORA","r":16,"lora_alpha":16})"));
  std::vector<model::TensorView> views;
  const std::vector<std::byte> zeros(static_cast<size_t>(16) *
                                     static_cast<size_t>(std::max(c.dim, c.ffn_dim)) * 4);
  for (int l = 0; l < c.layers; ++l) {
    const auto add = [&](const char* module, int64_t in, int64_t out) {
      const std::string name = fmt::format("base_model.model.model.layers.{}.{}.lora_", l, module);
      const auto bytes = [&](int64_t n) {
        return std::span(zeros).first(static_cast<size_t>(n * 4));
      };
      views.push_back({name + "A.weight", model::DType::kF32, {16, in}, bytes(16 * in)});
      views.push_back({name + "B.weight", model::DType::kF32, {out, 16}, bytes(16 * out)});
    };
    add("self_attn.q_proj", c.dim, c.q_dim());
    add("self_attn.k_proj", c.dim, c.kv_dim());
    add("self_attn.v_proj", c.dim, c.kv_dim());
    add("self_attn.o_proj", c.q_dim(), c.dim);
    add("mlp.gate_proj", c.dim, c.ffn_dim);
    add("mlp.up_proj", c.dim, c.ffn_dim);
    add("mlp.down_proj", c.ffn_dim, c.dim);
  }
  return model::WriteSafetensors(folder + "/adapter_model.safetensors", views);
}

Status Overheads(const Flags& flags) {
  const auto model = TRY(LoadModel(flags));
  const io::RealClock clock;
  const io::TempDir folder = TRY(io::TempDir::Create());
  TRY(WriteAdapter(folder.path(), model->config()));
  serve::EngineOptions options = Options(flags);
  options.adapters = {{"a", folder.path()}};
  options.prefix_cache = false;  // both sides compute the prompts that they share
  const auto engine = TRY(serve::Engine::Create(model, options, clock));
  const auto eight = [](uint64_t round) {
    Random random(round);
    Requests list;
    for (int i = 0; i < 8; ++i) list.push_back({0, Prompt(random, 16), 32});
    return list;
  };
  const auto plain = bench::OurRunner(*engine);
  const auto judged = bench::OurRunner(*engine, {.logprobs = 5});
  const auto adapted = bench::OurRunner(*engine, {.adapter = "a"});
  serve::OutputConstraints forms(model->tokenizer());
  // An array that 32 tokens do not end.
  const auto form =
      TRY(forms.For({.kind = wire::OutputFormat::Kind::kJsonSchema,
                     .text = R"({"type":"array","minItems":99,"items":{"type":"object",)"
                             R"("properties":{"name":{"type":"string"},"n":{"type":"integer"}},)"
                             R"("required":["name","n"]}})"},
                    /*thinks=*/false));
  const auto formed = bench::OurRunner(*engine, {.constraint = form});
  const Both schema = TRY(Alternate(flags, *formed, plain.get(), eight, TokensPerSecond));
  const Both logprobs = TRY(Alternate(flags, *judged, plain.get(), eight, TokensPerSecond));
  const Both adapter = TRY(Alternate(flags, *adapted, plain.get(), eight, TokensPerSecond));
  const auto say = [&](const char* what, const Both& b) {
    Report(flags, what, "tokens/s", b.ours, {});
    fmt::print("        {:.1f}% slower than without\n",
               100 * (Median(b.theirs) / Median(b.ours) - 1));
  };
  say("8 streams, logprobs 5", logprobs);
  say("8 streams, LoRA 16", adapter);
  say("8 streams, JSON schema", schema);
  const serve::EngineStats stats = engine->stats();
  fmt::print(
      "        of a step {:.2f}% is not arithmetic\n",
      100 * static_cast<double>(stats.overhead.sum_us) / static_cast<double>(stats.step.sum_us));
  return {};
}

int64_t StatusBytes(const char* field) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(field))
      return std::atoll(line.c_str() + std::string(field).size() + 1) * 1024;
  }
  return 0;
}

// What a fresh process does: load, start, one token of a short prompt.
Status StartChild(const Flags& flags) {
  const auto model = TRY(LoadModel(flags.child, flags.threads));
  const io::RealClock clock;
  const auto engine = TRY(serve::Engine::Create(model, Options(flags), clock));
  const auto ours = bench::OurRunner(*engine);
  Random random(1);
  TRY(ours->Run({{0, Prompt(random, 16), 1}}));
  const int64_t peak = StatusBytes("VmHWM:");
  const int64_t kv =
      engine->stats().kv_blocks_cached * serve::kKvBlockTokens * engine->stats().kv_bytes_per_token;
  fmt::print("{} {} {}\n", peak, model->weight_bytes(), kv);
  return {};
}

Status Start(const Flags& flags) {
  const std::string path = TRY(bench::BenchModel(flags.models, flags.type));
  std::vector<double> seconds, beside;
  for (int round = -1; round < flags.rounds; ++round) {
    const double begin = Now();
    const std::string command =
        fmt::format("/proc/{}/exe --child '{}' --threads {}", getpid(), path, flags.threads);
    FILE* child = popen(command.c_str(), "r");
    long long peak = 0, weights = 0, kv = 0;
    if (child == nullptr || std::fscanf(child, "%lld %lld %lld", &peak, &weights, &kv) != 3) {
      return Error(Code::kUnavailable, "the child process failed");
    }
    const double took = Now() - begin;
    pclose(child);
    if (round < 0) continue;  // it brings the file into the page cache
    seconds.push_back(took);
    beside.push_back(static_cast<double>(peak - weights - kv) / (1 << 20));
  }
  Report(flags, "start to first token", "s", seconds, {});
  Report(flags, "memory beside weights", "MiB", beside, {});
  return {};
}

Status Run(const Flags& flags) {
  if (!flags.isa.empty()) {
    const auto isa = kernels::IsaNamed(flags.isa);
    if (!isa || !kernels::SetIsa(*isa)) {
      return Error(Code::kInvalidArgument, "--isa: not offered on this machine: " + flags.isa)
          .Hint("plain, avx2 or avx512");
    }
  }
  if (!flags.child.empty()) return StartChild(flags);
  utsname machine{};
  uname(&machine);
  fmt::print("weir {}, {}, {} threads, {}, {} rounds\n", kVersion, machine.machine, flags.threads,
             kernels::DescribeKernels(), flags.rounds);
  for (const std::string& section : flags.sections) {
    if (section == "make") {
      fmt::print("{}\n", TRY(bench::BenchModel(flags.models, flags.type)));
    } else if (section == "limits") {
      const Limits l = Measure(flags.threads);
      fmt::print("read {:.1f} GB/s; {:.0f} GFLOP/s f32, {:.0f} bf16, {:.0f} Gop/s int8\n",
                 l.bytes_per_second / 1e9, l.f32_ops / 1e9, l.bf16_ops / 1e9, l.int8_ops / 1e9);
    } else if (section == "speculate") {
      TRY(Speculate(flags));
    } else if (section == "overheads") {
      TRY(Overheads(flags));
    } else if (section == "start") {
      TRY(Start(flags));
    } else {
      TRY(ServingSection(flags, section));
    }
  }
  if (!flags.json.empty()) {
    TRY(io::WriteFileAtomically(
        flags.json,
        nlohmann::json{{"version", kVersion}, {"threads", flags.threads}, {"results", results}}
            .dump(2)));
  }
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  Flags flags;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    const auto value = [&]() -> std::string { return ++i < argc ? argv[i] : ""; };
    if (flag == "--type") {
      flags.type = value();
    } else if (flag == "--rounds") {
      flags.rounds = std::max(1, std::atoi(value().c_str()));
    } else if (flag == "--threads") {
      flags.threads = std::max(1, std::atoi(value().c_str()));
    } else if (flag == "--rate") {
      flags.rate = std::max(0.01, std::atof(value().c_str()));
    } else if (flag == "--models") {
      flags.models = value();
    } else if (flag == "--peer") {
      flags.peer = value();
    } else if (flag == "--no-peer") {
      flags.peer.clear();
    } else if (flag == "--isa") {
      flags.isa = value();
    } else if (flag == "--json") {
      flags.json = value();
    } else if (flag == "--child") {
      flags.child = value();
    } else {
      flags.sections.push_back(flag);
    }
  }
  if (flags.sections.empty() && flags.child.empty()) {
    fmt::print(stderr, "serve_bench SECTION...: see the head of bench/serve.cc\n");
    return 2;
  }
  const Status status = Run(flags);
  if (status) return 0;
  fmt::print(stderr, "serve_bench: {}\n", status.error().ToString());
  return 1;
}
