// "Did you mean": the nearest of some known words.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace weir {

// Insertions, deletions, substitutions and swaps of neighbours that lead from a to b (optimal
// string alignment distance). O(|a| |b|); both are cut at 256 bytes.
int EditDistance(std::string_view a, std::string_view b);

// The known word nearest to `word`, or "" if none is near: at most a third of its letters away.
// Equally near: the first.
std::string NearestOf(std::string_view word, std::span<const std::string> known);

}  // namespace weir
