#include "lab/blueprint/suggest.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "base/nearest.h"
#include "lab/blueprint/hardware.h"

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

Result<std::string> AcceleratorNamed(std::string_view name, const std::vector<std::string>& also) {
  if (std::find(also.begin(), also.end(), name) != also.end()) return std::string(name);
  if (const auto found = FindAccelerator(name)) return found->name;
  std::vector<std::string> names = also;
  for (const Accelerator& a : AcceleratorPresets()) {
    names.push_back(a.name);
    names.insert(names.end(), a.aliases.begin(), a.aliases.end());
  }
  return Error(Code::kNotFound, fmt::format("accelerator \"{}\" is not known", name))
      .Hint(Suggest(name, names, "weir blueprint accelerators",
                    "a new one is taken with `weir offer add --new-accelerator`"));
}

}  // namespace weir::blueprint
