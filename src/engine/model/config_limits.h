// Bounds on single numbers of a model's shape. Products of any three of the sizes with 8 stay below
// 2^63, and a file that claims more is refused before anything is reserved for it.
#pragma once

#include <cstdint>

namespace weir::model {

inline constexpr int64_t kMaxVocab = 1 << 21;
inline constexpr int64_t kMaxWidth = 1 << 18;
inline constexpr int64_t kMaxLayers = 1 << 10;
inline constexpr int64_t kMaxSequence = 1 << 24;
inline constexpr int64_t kMaxExperts = 1 << 10;
inline constexpr int64_t kMaxLayerExperts = 1 << 16;  // each has three matrices with names

}  // namespace weir::model
