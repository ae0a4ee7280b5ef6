#include "lab/blueprint/suggest.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "base/nearest.h"

namespace weir::blueprint {

std::string Suggest(std::string_view name, const std::vector<std::string>& known,
                    std::string_view command, std::string_view otherwise) {
  const auto lower = [](std::string_view s) {
    std::string out(s);
    for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return out;
  };
  const std::string wanted = lower(name);
  std::vector<std::pair<int, std::string>> ranked;
  for (const std::string& k : known) {
    const std::string plain = lower(k);
    int distance = EditDistance(wanted, plain);
    // A prefix ("h100" of "h100-sxm") is what people type; it counts as nearly right.
    if (!wanted.empty() && (plain.starts_with(wanted) || wanted.starts_with(plain))) distance = 1;
    ranked.emplace_back(distance, k);
  }
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::string near;
  const int limit = std::max<int>(2, static_cast<int>(wanted.size()) / 2);
  for (size_t i = 0; i < ranked.size() && i < 3 && ranked[i].first <= limit; ++i)
    near += (near.empty() ? "" : ", ") + ranked[i].second;
  return fmt::format("{}`{}` lists all{}{}",
                     near.empty() ? "" : fmt::format("did you mean {}? ", near), command,
                     otherwise.empty() ? "" : ", ", otherwise);
}

}  // namespace weir::blueprint
