#include "engine/model/token_map.h"

#include <bit>

namespace weir::model {

void TokenMap::Build(std::span<const std::string> tokens, std::span<const uint8_t> skip) {
  tokens_ = tokens.data();
  slots_.assign(std::bit_ceil(2 * tokens.size() + 2), Slot{});
  mask_ = slots_.size() - 1;
  for (size_t id = 0; id < tokens.size(); ++id) {
    if (tokens[id].empty() || (!skip.empty() && skip[id] != 0)) continue;
    const uint64_t hash = HashBytes(tokens[id]);
    if (Find(tokens[id], hash) >= 0) continue;
    size_t i = hash & mask_;
    while (slots_[i].id >= 0) i = (i + 1) & mask_;
    slots_[i] = {static_cast<uint32_t>(hash >> 32), static_cast<int32_t>(id)};
  }
}

}  // namespace weir::model
