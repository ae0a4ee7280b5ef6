#include "engine/serve/chat_output.h"

#include <gtest/gtest.h>

#include <string>

#include "base/random.h"

namespace weir::serve {
namespace {

struct Said {
  std::string thinking, content;
  bool operator==(const Said&) const = default;
};

// The text in pieces that `random` chooses.
Said Split(const std::string& text, bool inside, Random* random) {
  ThinkingSplitter splitter(inside);
  Said said;
  const auto take = [&](ThinkingSplitter::Parts parts) {
    said.thinking += parts.thinking;
    said.content += parts.content;
  };
  for (size_t at = 0; at < text.size();) {
    const size_t n = random == nullptr ? text.size() : 1 + random->Below(4);
    take(splitter.Push(std::string_view(text).substr(at, n)));
    at += n;
  }
  take(splitter.Finish());
  return said;
}

TEST(ThinkingSplitter, TakesThinkingApartHoweverItComes) {
  const struct {
    const char* text;
    bool inside;
    Said expected;
  } rows[] = {
      {"plain", false, {"", "plain"}},
      {"<think>a</think>b", false, {"a", "b"}},
      {" \n<think>\na\n</think>\n\nb c", false, {"\na\n", "b c"}},
      {"<think>never ends </thi", false, {"never ends </thi", ""}},
      {"<thin ice", false, {"", "<thin ice"}},
      {"<think", false, {"", "<think"}},
      {"a <think>b</think>", false, {"", "a <think>b</think>"}},
      {"<think></think>b</think>", false, {"", "b</think>"}},
      {"a</think>\nb", true, {"a", "b"}},
      {"a < b </ c </think>d", true, {"a < b </ c ", "d"}},
      {"", false, {"", ""}},
      {"  x", false, {"", "  x"}},
  };
  Random random(4);
  for (const auto& row : rows) {
    EXPECT_EQ(Split(row.text, row.inside, nullptr), row.expected) << row.text;
    for (int i = 0; i < 20; ++i) {
      EXPECT_EQ(Split(row.text, row.inside, &random), row.expected) << row.text;
    }
  }
}

}  // namespace
}  // namespace weir::serve
