// The options of `weir up`: one table makes the flags, the environment variables, the TOML file,
// `weir config show` and docs/config.md.
//
// An option is named "section.key". Its flag is --section-key (or --key for section "lab"), its
// environment variable WEIR_SECTION_KEY, its place in the file [section] key = value.
// Flag over environment over file over default; every value remembers where it came from.
//
// Errors    kInvalidArgument, naming the option, the value, where it came from and what is
// expected.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "lab/sched/policy.h"

namespace weir::app {

enum class OptionType { kString, kList, kInteger, kNumber, kBool, kDuration, kBytes };

struct OptionInfo {
  std::string name;  // "section.key"
  OptionType type = OptionType::kString;
  std::string unit;           // "", "slots", "requests/s": for people
  std::string default_value;  // in the form that a flag takes; lists are separated by ':'
  double min = 0, max = 0;    // for numbers, durations (seconds) and bytes; equal = any
  std::string help;           // one sentence

  std::string Flag() const;
  std::string Env() const;
};

// Every option, in the order of the manual. The policy's own come from lab/sched.
const std::vector<OptionInfo>& Options();
const OptionInfo* FindOption(const std::string& name);

class Config {
 public:
  // Flags by option name, as given; `file` is the text of the TOML file ("" = none), `file_name`
  // its name for messages.
  static Result<Config> Load(
      const std::map<std::string, std::string>& flags,
      const std::function<std::optional<std::string>(const std::string&)>& env,
      const std::string& file, const std::string& file_name);

  struct Value {
    std::string text;
    std::string source;  // "default", "flag --x", "WEIR_X", "weir.toml"
  };
  const Value& Get(const std::string& name) const;  // CHECKs that the option exists
  std::string String(const std::string& name) const { return Get(name).text; }
  std::vector<std::string> List(const std::string& name) const;
  int64_t Integer(const std::string& name) const;
  double Number(const std::string& name) const;
  bool Bool(const std::string& name) const;
  Duration Span(const std::string& name) const;
  int64_t Bytes(const std::string& name) const;
  Result<sched::Policy> Policy() const;  // the policy.* options together

 private:
  std::map<std::string, Value> values_;
};

// A commented TOML file with every option at its default.
std::string ExampleToml();
// docs/config.md's table.
std::string OptionsMarkdown();

}  // namespace weir::app
