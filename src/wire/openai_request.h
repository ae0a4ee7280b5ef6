// What every generating endpoint of the OpenAI API takes: sampling, stops, how many, constraints.
//
// Beside OpenAI's own fields stand those that vLLM's and llama.cpp's users know: top_k, min_p,
// repetition_penalty (repeat_penalty), ignore_eos, stop_token_ids, and constraints on the output
// under all of their names (see OutputFormat). docs/serving.md lists what is ignored and refused.
// Threads: values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "wire/openai.h"

namespace weir::wire {

inline constexpr int kMaxStops = 16;        // strings; OpenAI takes 4, vLLM's clients send more
inline constexpr int kMaxStopTokens = 128;  // ids
inline constexpr int kMaxLogprobs = 20;
inline constexpr int kMaxChoices = 128;  // of one request: prompts times n
inline constexpr int kMaxLogitBiases = 1024;
inline constexpr size_t kMaxFormatBytes = size_t{1} << 20;

// What the whole output must be.
//   kJsonObject  response_format {"type": "json_object"}
//   kJsonSchema  response_format json_schema; guided_json; json_schema; structured_outputs.json
//   kRegex       guided_regex; guided_choice (as alternatives); structured_outputs.regex, .choice
//   kGrammar     guided_grammar; grammar; structured_outputs.grammar (EBNF in llama.cpp's notation)
struct OutputFormat {
  enum class Kind : uint8_t { kText, kJsonObject, kJsonSchema, kRegex, kGrammar };
  Kind kind = Kind::kText;
  std::string text;     // the schema as JSON, the pattern or the grammar
  std::string param;    // the field that asked for it, for errors found when it is compiled
  bool strict = false;  // response_format's "strict": objects are closed unless they say otherwise
};

struct Generation {
  std::string model;                // may be empty: the server's only model
  std::optional<int> max_tokens;    // also max_completion_tokens, max_output_tokens
  float temperature = 1.0f;         // 0..2; 0 is greedy
  float top_p = 1.0f;               // (0, 1]
  float min_p = 0.0f;               // 0..1
  int top_k = 0;                    // 0: all
  float repetition_penalty = 1.0f;  // above 0, at most 10
  float presence_penalty = 0.0f;    // -2..2
  float frequency_penalty = 0.0f;   // -2..2
  std::vector<std::pair<int32_t, float>> logit_bias;  // -100..100
  std::optional<uint64_t> seed;
  std::vector<std::string> stop;
  std::vector<int32_t> stop_token_ids;
  std::optional<int> logprobs;  // number of alternatives per token, 0..20; absent: none
  int n = 1;
  bool ignore_eos = false;
  bool stream = false;
  bool include_usage = false;  // stream_options.include_usage
  int64_t priority = 0;        // smaller is sooner, as vLLM's
  OutputFormat format;
};

}  // namespace weir::wire
