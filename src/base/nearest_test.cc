#include "base/nearest.h"

#include <gtest/gtest.h>

#include <vector>

namespace weir {
namespace {

// The recursion that defines it.
int Slow(std::string_view a, std::string_view b) {
  if (a.empty() || b.empty()) return static_cast<int>(a.size() + b.size());
  const auto back = [](std::string_view s, size_t n) { return s.substr(0, s.size() - n); };
  int best = std::min({Slow(back(a, 1), b) + 1, Slow(a, back(b, 1)) + 1,
                       Slow(back(a, 1), back(b, 1)) + (a.back() == b.back() ? 0 : 1)});
  if (a.size() > 1 && b.size() > 1 && a.back() == b[b.size() - 2] && b.back() == a[a.size() - 2])
    best = std::min(best, Slow(back(a, 2), back(b, 2)) + 1);
  return best;
}

TEST(Nearest, DistanceIsTheRecursionThatDefinesIt) {
  std::vector<std::string> words = {""};
  for (size_t i = 0; i < words.size() && words[i].size() < 4; ++i) {
    for (const char c : {'a', 'b'}) words.push_back(words[i] + c);
  }
  for (const auto& a : words) {
    for (const auto& b : words) EXPECT_EQ(EditDistance(a, b), Slow(a, b)) << a << " " << b;
  }
}

TEST(Nearest, SuggestsWhatIsNearAndNothingWhenNothingIs) {
  const std::vector<std::string> known = {"job", "service", "status", "loan"};
  EXPECT_EQ(NearestOf("jbo", known), "job");
  EXPECT_EQ(NearestOf("servcie", known), "service");
  EXPECT_EQ(NearestOf("stats", known), "status");
  EXPECT_EQ(NearestOf("xylophone", known), "");
  EXPECT_EQ(NearestOf("", known), "");
}

}  // namespace
}  // namespace weir
