#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "lab/data/text.h"

// Any bytes as a file: what comes out is valid UTF-8 without NUL, or a refusal.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto check = [](std::string_view input) {
    const auto text = weir::data::DecodeText(input);
    if (!text) return;
    if (!weir::data::IsUtf8(*text) || text->find('\0') != std::string::npos) std::abort();
    (void)weir::data::StripTroff(*text);
    (void)weir::data::LooksLikeTroff(*text);
  };
  check(bytes);
  if (const auto unpacked = weir::data::Gunzip(bytes, 1 << 20); unpacked) check(*unpacked);
  return 0;
}
