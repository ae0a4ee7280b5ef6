#include "wire/openai_embeddings.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "wire/openai_json.h"

namespace weir::wire {

static_assert(std::endian::native == std::endian::little, "base64 vectors are little-endian");

std::optional<ApiError> ParseEmbeddingRequest(std::string_view body, EmbeddingRequest& out) {
  out = {};
  Json json;
  if (auto error = ParseObject(body, json)) return error;
  Reader reader(json);
  out.model = reader.String("model");
  const auto bad = [&] {
    reader.Bad("input", fmt::format("must be a string, a list of token ids, or a list of 1 to {} "
                                    "of these, none of them empty",
                                    kMaxEmbeddingInputs));
  };
  const auto add = [&](const Json& one) {
    if (one.is_string() && !one.get_ref<const std::string&>().empty()) {
      out.inputs.push_back({one.get<std::string>(), {}});
      return true;
    }
    std::optional<std::vector<int32_t>> ids;
    if (one.is_array() && !one.empty()) ids = TokenIds(one);
    if (ids) out.inputs.push_back({"", *std::move(ids)});
    return ids.has_value();
  };
  const Json* input = reader.Get("input");
  if (input == nullptr) {
    reader.Bad("input", "is missing");
  } else if (input->is_array() && !input->empty() && !input->front().is_number()) {
    if (input->size() > kMaxEmbeddingInputs) bad();
    for (size_t i = 0; i < input->size() && reader.ok(); ++i) {
      if (!add((*input)[i])) bad();
    }
  } else if (!add(*input)) {
    bad();
  }
  out.base64 = reader.OneOf("encoding_format", {"float", "base64"}, "float") == "base64";
  if (const auto n = reader.Integer("dimensions", 1, 1 << 20)) {
    out.dimensions = static_cast<int>(*n);
  }
  return reader.error();
}

std::string EmbeddingBody(std::string_view model, std::span<const std::vector<float>> vectors,
                          bool base64, int64_t prompt_tokens) {
  std::string list;
  for (size_t i = 0; i < vectors.size(); ++i) {
    if (i > 0) list += ',';
    list += fmt::format(R"({{"object":"embedding","index":{},"embedding":)", i);
    const std::vector<float>& vector = vectors[i];
    if (base64) {
      std::string bytes(vector.size() * sizeof(float), '\0');
      std::memcpy(bytes.data(), vector.data(), bytes.size());
      list += '"' + Base64(bytes) + '"';
    } else {
      list += '[';
      for (size_t j = 0; j < vector.size(); ++j) {
        if (j > 0) list += ',';
        list += std::isfinite(vector[j]) ? fmt::format("{}", vector[j]) : std::string("null");
      }
      list += ']';
    }
    list += '}';
  }
  return fmt::format(
      R"({{"object":"list","data":[{}],"model":{},"usage":{{"prompt_tokens":{},"total_tokens":{}}}}})",
      list, Quoted(model), prompt_tokens, prompt_tokens);
}

std::string Base64(std::string_view bytes) {
  static constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t n = std::min<size_t>(3, bytes.size() - i);
    uint32_t group = 0;
    for (size_t j = 0; j < 3; ++j) {
      group = group << 8 | (j < n ? static_cast<unsigned char>(bytes[i + j]) : 0u);
    }
    for (size_t j = 0; j < 4; ++j) {
      out += j <= n ? kAlphabet[group >> (18 - 6 * j) & 63] : '=';
    }
  }
  return out;
}

}  // namespace weir::wire
