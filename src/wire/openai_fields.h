// The reading of openai_request.h's fields: private to wire/openai_*.cc.
#pragma once

#include "wire/openai_json.h"
#include "wire/openai_request.h"

namespace weir::wire {

inline constexpr int64_t kMaxMaxTokens = 1 << 24;

// Sampling, stops, n, stream, constraints by the names of vLLM and llama.cpp. Not: logprobs,
// max_tokens and response_format, which differ between endpoints.
void ReadGeneration(Reader& reader, Generation& out);
// response_format, or the "format" of /v1/responses' "text" (`flat`: the schema stands beside
// "type" instead of under "json_schema").
void ReadResponseFormat(Reader& reader, std::string_view param, bool flat, Generation& out);

}  // namespace weir::wire
