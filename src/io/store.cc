#include "io/store.h"

#include <fmt/format.h>
#include <sodium.h>

#include <array>

namespace weir::io {

const std::string kGenesisHash(64, '0');

std::string HashOf(const Record& record) {
  crypto_hash_sha256_state state;
  crypto_hash_sha256_init(&state);
  const auto add = [&](std::string_view bytes) {
    crypto_hash_sha256_update(&state, reinterpret_cast<const unsigned char*>(bytes.data()),
                              bytes.size());
  };
  const auto add_int = [&](int64_t n) {  // little-endian, so that every machine agrees
    std::array<char, 8> bytes{};
    for (size_t i = 0; i < bytes.size(); ++i) {
      bytes[i] = static_cast<char>(static_cast<uint64_t>(n) >> (8 * i));
    }
    add({bytes.data(), bytes.size()});
  };
  const auto add_text = [&](std::string_view text) {
    // Its length first: without it "ab"+"c" and "a"+"bc" would have one hash.
    add_int(static_cast<int64_t>(text.size()));
    add(text);
  };
  add_text(record.prev_hash);
  add_int(record.seq);
  add_int(record.time.us);
  add_text(record.actor);
  add_text(record.type);
  add_text(record.body);
  std::array<unsigned char, crypto_hash_sha256_BYTES> sum{};
  crypto_hash_sha256_final(&state, sum.data());
  std::string hex(sum.size() * 2 + 1, '\0');
  sodium_bin2hex(hex.data(), hex.size(), sum.data(), sum.size());
  hex.pop_back();
  return hex;
}

Status CheckEntries(std::span<const Entry> batch) {
  for (const Entry& entry : batch) {
    if (static_cast<int64_t>(entry.body.size()) > kMaxBodyBytes) {
      return Error(Code::kTooLarge,
                   fmt::format("a journal record of type {} has {}; at most {} are kept",
                               entry.type, HumanBytes(static_cast<int64_t>(entry.body.size())),
                               HumanBytes(kMaxBodyBytes)))
          .Hint("keep large content in a file and its hash in the journal");
    }
  }
  return {};
}

Error NoSuchRecord(int64_t seq) {
  return Error(Code::kInvalidArgument, fmt::format("the journal has no record {}", seq));
}

}  // namespace weir::io
