// ScanBody accepts exactly what the JSON library accepts (objects, up to kMaxJsonDepth), and reads
// the same "model" and "stream" out of it.
#include <cstdint>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "gateway/edge/scan.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (text.find('\0') != text.npos) return 0;  // the library takes NUL for the end of the text
  const auto scan = weir::gateway::ScanBody(text);
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!scan) {
    const bool too_deep = scan.error().message().find("too deeply") != std::string::npos;
    // A number that overflows a double is an error of the library's number type, not of JSON.
    CHECK_MSG(too_deep || !json.is_object(), "refused: {}", scan.error().message());
    return 0;
  }
  if (json.is_discarded()) {
    // The library reads numbers into doubles and refuses 1e999; the grammar does not.
    CHECK_MSG(text.find_first_of("0123456789") != std::string_view::npos, "accepted what is not");
    std::string small;
    bool in_string = false;
    for (size_t i = 0; i < text.size(); ++i) {  // take the exponents away and ask again
      if (text[i] == '"' && (i == 0 || text[i - 1] != '\\')) in_string = !in_string;
      if (in_string || (text[i] < '0' || text[i] > '9'))
        small += text[i];
      else if (small.empty() || small.back() < '0' || small.back() > '9')
        small += '1';
    }
    CHECK_MSG(!nlohmann::json::parse(small, nullptr, false).is_discarded() || size > 300,
              "accepted what is not JSON: {}", text);
    return 0;
  }
  CHECK(json.is_object());
  const auto model = json.find("model");
  const bool has_model = model != json.end() && model->is_string();
  CHECK(scan->has_model == has_model);
  if (has_model) CHECK(scan->model == model->get<std::string>());
  const auto stream = json.find("stream");
  CHECK(scan->stream == (stream != json.end() && stream->is_boolean() && stream->get<bool>()));
  return 0;
}
