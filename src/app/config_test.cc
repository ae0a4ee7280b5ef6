#include "app/config.h"

#include <gtest/gtest.h>

namespace weir::app {
namespace {

using Map = std::map<std::string, std::string>;

std::function<std::optional<std::string>(const std::string&)> Env(Map values) {
  return [values = std::move(values)](const std::string& name) -> std::optional<std::string> {
    const auto it = values.find(name);
    return it == values.end() ? std::nullopt : std::optional(it->second);
  };
}

TEST(Config, FlagOverEnvironmentOverFileOverDefault) {
  const std::string file = "[site]\nslots = 3\n[lab]\nname = \"f\"\ndrain = \"5s\"\n";
  const Result<Config> c =
      Config::Load({{"site.slots", "5"}}, Env({{"WEIR_SITE_SLOTS", "4"}, {"WEIR_LAB_NAME", "e"}}),
                   file, "w.toml");
  ASSERT_TRUE(c) << c.error().ToString();
  EXPECT_EQ(c->Integer("site.slots"), 5);
  EXPECT_EQ(c->Get("site.slots").source, "flag --site-slots");
  EXPECT_EQ(c->String("lab.name"), "e");
  EXPECT_EQ(c->Get("lab.name").source, "WEIR_LAB_NAME");
  EXPECT_EQ(c->Span("lab.drain").us, 5'000'000);
  EXPECT_EQ(c->Get("lab.drain").source, "w.toml:5");
  EXPECT_EQ(c->Get("lab.listen").source, "default");
}

TEST(Config, BadInputNamesTheOptionTheValueAndWhatIsExpected) {
  const struct {
    const char* name;
    Map flags;
    const char* file;
    const char* expected;
  } kCases[] = {
      {"Type",
       {{"site.slots", "many"}},
       "",
       "site.slots (flag --site-slots): expected a whole number, got \"many\""},
      {"Range",
       {{"site.slots", "-1"}},
       "",
       "site.slots (flag --site-slots): -1 is out of range; it must be from 0 to 4096"},
      {"Duration",
       {{"lab.drain", "5"}},
       "",
       "lab.drain (flag --drain): expected a time such as 30s, 5m or 250ms, got \"5\""},
      {"Unknown", {}, "[site]\nslotz = 3\n", "w.toml:2: site.slotz is not an option"},
      {"NoSection", {}, "slots = 3\n", "w.toml:1: \"slots\" stands outside any [section]"},
      {"NotToml", {}, "[site\n", "w.toml:1:6"},
      {"Policy", {{"policy.loan_term", "-3"}}, "", "policy.loan_term"},
  };
  for (const auto& c : kCases) {
    const Result<Config> got = Config::Load(c.flags, Env({}), c.file, "w.toml");
    ASSERT_FALSE(got) << c.name;
    EXPECT_EQ(got.error().message().substr(0, std::string(c.expected).size()), c.expected)
        << c.name;
  }
}

TEST(Config, TheExampleFileIsReadAndSetsNothing) {
  std::string example = ExampleToml();
  EXPECT_TRUE(Config::Load({}, Env({}), example, "e.toml"));
  // And with every comment sign before an assignment taken off, it still says the defaults.
  std::string live;
  for (size_t at = 0; at < example.size();) {
    const size_t end = example.find('\n', at);
    std::string line = example.substr(at, end - at);
    if (line.starts_with("# ") && line.find(" = ") != std::string::npos &&
        line.find('.') != line.size() - 1)
      line = line.substr(2);
    live += line + "\n";
    at = end + 1;
  }
  const Result<Config> c = Config::Load({}, Env({}), live, "e.toml");
  ASSERT_TRUE(c) << c.error().ToString() << "\n" << live;
  for (const OptionInfo& o : Options()) EXPECT_EQ(c->Get(o.name).text, o.default_value) << o.name;
}

}  // namespace
}  // namespace weir::app
