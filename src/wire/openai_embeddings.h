// POST /v1/embeddings: texts in, one vector for each out.
// Threads: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "wire/openai_completion.h"

namespace weir::wire {

inline constexpr int kMaxEmbeddingInputs = 2048;

struct EmbeddingRequest {
  std::string model;
  std::vector<Prompt> inputs;     // at least one, none empty
  bool base64 = false;            // little-endian f32 in base64, as OpenAI's own clients ask for
  std::optional<int> dimensions;  // must be the model's: nothing is cut off
};
std::optional<ApiError> ParseEmbeddingRequest(std::string_view body, EmbeddingRequest& out);

// Vectors in the order of the inputs. Numbers are written so that they read back as they were.
std::string EmbeddingBody(std::string_view model, std::span<const std::vector<float>> vectors,
                          bool base64, int64_t prompt_tokens);

std::string Base64(std::string_view bytes);

}  // namespace weir::wire
