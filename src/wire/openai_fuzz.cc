// Any bytes as a request: parsed or refused with an error whose body is JSON.
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "wire/openai.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace weir::wire;
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  for (const Api api : {Api::kCompletion, Api::kChat}) {
    CompletionRequest request;
    if (const auto error = ParseCompletionRequest(api, body, request)) {
      CHECK(nlohmann::json::accept(ErrorBody(*error)));
      continue;
    }
    CHECK(request.temperature >= 0 && request.temperature <= 2);
    CHECK(request.top_p > 0 && request.top_p <= 1 && request.top_k >= 0);
    CHECK(request.stop.size() <= kMaxStops);
    CHECK(nlohmann::json::accept(
        CompletionBody({api, "id", 0, request.model}, request.prompt, "stop", {})));
  }
  PeekRoute(body);
  return 0;
}
