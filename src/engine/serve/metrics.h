// The engine's numbers in the Prometheus text format, version 0.0.4.
//   weir_engine_ttft_seconds             histogram  from the request to its first token
//   weir_engine_tpot_seconds             histogram  from one token of a sequence to its next
//   weir_engine_queue_wait_seconds       histogram  from the request to its place in the batch
//   weir_engine_step_seconds             histogram  of a step
//   weir_engine_step_overhead_seconds    histogram  of it, all but the model's arithmetic
//   weir_engine_batch_sequences          histogram  sequences in a step
//   weir_engine_queue_length             gauge      requests waiting for a place in the batch
//   weir_engine_running_sequences        gauge      sequences in the batch
//   weir_engine_max_batch                gauge      places in the batch
//   weir_engine_kv_blocks{state}         gauge      blocks of the KV cache: used, cached, free
//   weir_engine_kv_bytes_per_token       gauge      of the KV cache
//   weir_engine_prompt_tokens_total      counter    prompt tokens computed
//   weir_engine_prefix_hit_tokens_total  counter    prompt tokens found in the cache instead
//   weir_engine_generated_tokens_total, weir_engine_steps_total                 counters
//   weir_engine_preemptions_total, weir_engine_recomputed_tokens_total          counters
//   weir_engine_drafted_tokens_total, weir_engine_accepted_tokens_total         counters
//   weir_engine_requests_total{outcome}  counter    finished, cancelled, failed, late, refused
#pragma once

#include <string>

#include "engine/serve/engine.h"

namespace weir::serve {

std::string PrometheusText(const EngineStats& stats);

}  // namespace weir::serve
