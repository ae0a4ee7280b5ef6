#include "engine/serve/metrics.h"

#include <fmt/format.h>

namespace weir::serve {
namespace {

// Bucket borders in seconds: 1-2.5-5 per decade, for TTFT of seconds and TPOT of microseconds.
constexpr double kBorders[] = {1e-5,   2.5e-5, 5e-5, 1e-4,   2.5e-4, 5e-4, 1e-3,
                               2.5e-3, 5e-3,   1e-2, 2.5e-2, 5e-2,   0.1,  0.25,
                               0.5,    1,      2.5,  5,      10,     30,   60};

void Head(std::string& out, std::string_view name, std::string_view type, std::string_view help) {
  out += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
}

void Value(std::string& out, std::string_view name, std::string_view type, std::string_view help,
           uint64_t value) {
  Head(out, name, type, help);
  out += fmt::format("{} {}\n", name, value);
}

void Histogram(std::string& out, std::string_view name, std::string_view help,
               const wire::DurationHistogram& histogram) {
  Head(out, name, "histogram", help);
  for (const double border : kBorders) {
    out += fmt::format("{}_bucket{{le=\"{}\"}} {}\n", name, border,
                       histogram.AtMost(Duration::FromSeconds(border)));
  }
  out += fmt::format("{0}_bucket{{le=\"+Inf\"}} {1}\n{0}_sum {2}\n{0}_count {1}\n", name,
                     histogram.total, static_cast<double>(histogram.sum_us) / 1e6);
}

}  // namespace

std::string PrometheusText(const EngineStats& s) {
  std::string out;
  const auto gauge = [&](std::string_view name, std::string_view help, int64_t value) {
    Value(out, name, "gauge", help, static_cast<uint64_t>(value));
  };
  const auto counter = [&](std::string_view name, std::string_view help, uint64_t value) {
    Value(out, name, "counter", help, value);
  };
  Histogram(out, "weir_engine_ttft_seconds", "From a request to its first token.", s.ttft);
  Histogram(out, "weir_engine_tpot_seconds", "From one token of a sequence to its next.", s.tpot);
  Histogram(out, "weir_engine_queue_wait_seconds", "From a request to its place in the batch.",
            s.queue_wait);
  Histogram(out, "weir_engine_step_seconds", "Of a step of the engine.", s.step);
  Histogram(out, "weir_engine_step_overhead_seconds", "Of a step, all but the model's arithmetic.",
            s.overhead);
  Head(out, "weir_engine_batch_sequences", "histogram", "Sequences in a step.");
  uint64_t steps = 0;
  for (int i = 0; i + 1 < EngineStats::kBatchBuckets; ++i) {
    steps += s.batch_steps[i];
    out += fmt::format("weir_engine_batch_sequences_bucket{{le=\"{}\"}} {}\n", 1 << i, steps);
  }
  out += fmt::format(
      "weir_engine_batch_sequences_bucket{{le=\"+Inf\"}} {0}\nweir_engine_batch_sequences_sum {1}\n"
      "weir_engine_batch_sequences_count {0}\n",
      steps + s.batch_steps[EngineStats::kBatchBuckets - 1], s.batch_sequences);
  gauge("weir_engine_queue_length", "Requests waiting for a place in the batch.", s.queued);
  gauge("weir_engine_running_sequences", "Sequences in the batch.", s.running);
  gauge("weir_engine_max_batch", "Places in the batch.", s.max_batch);
  Head(out, "weir_engine_kv_blocks", "gauge", "Blocks of the KV cache.");
  const int64_t free = s.kv_blocks - s.kv_blocks_used - s.kv_blocks_cached;
  for (const auto& [state, blocks] :
       {std::pair("used", s.kv_blocks_used), std::pair("cached", s.kv_blocks_cached),
        std::pair("free", free)}) {
    out += fmt::format("weir_engine_kv_blocks{{state=\"{}\"}} {}\n", state, blocks);
  }
  gauge("weir_engine_kv_bytes_per_token", "Of keys and values, for one token of a sequence.",
        s.kv_bytes_per_token);
  counter("weir_engine_prompt_tokens_total", "Prompt tokens computed.", s.prompt_tokens);
  counter("weir_engine_prefix_hit_tokens_total", "Prompt tokens found in the KV cache.",
          s.prefix_hit_tokens);
  counter("weir_engine_generated_tokens_total", "Tokens generated.", s.generated_tokens);
  counter("weir_engine_steps_total", "Steps of the engine.", s.steps);
  counter("weir_engine_preemptions_total", "Sequences that gave their KV blocks to others.",
          s.preemptions);
  counter("weir_engine_recomputed_tokens_total", "Tokens computed again after a preemption.",
          s.recomputed_tokens);
  counter("weir_engine_drafted_tokens_total", "Tokens guessed ahead.", s.drafted_tokens);
  counter("weir_engine_accepted_tokens_total", "Of them, those that were right.",
          s.accepted_tokens);
  Head(out, "weir_engine_requests_total", "counter", "Requests by how they ended.");
  for (const auto& [outcome, n] :
       {std::pair("finished", s.finished), std::pair("cancelled", s.cancelled),
        std::pair("failed", s.failed), std::pair("late", s.late),
        std::pair("refused", s.refused)}) {
    out += fmt::format("weir_engine_requests_total{{outcome=\"{}\"}} {}\n", outcome, n);
  }
  return out;
}

}  // namespace weir::serve
