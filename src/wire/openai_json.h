// Reading and writing the JSON of the OpenAI API: private to wire/openai_*.cc.
//
// Answers are written by hand: streams have thousands of chunks, and a document of the JSON
// library for each would cost more than the chunk. Requests go through Reader, which keeps the
// first thing that is wrong.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "wire/openai.h"

namespace weir::wire {

// In the order of the text: that of a schema's properties is the order of the answer's.
using Json = nlohmann::ordered_json;

// Of nesting: the library writes recursively. Of members of one object: it looks for each among
// those before it.
inline constexpr size_t kMaxRequestDepth = 128;
inline constexpr size_t kMaxRequestMembers = 1024;

// The body as a JSON object, or why it is none.
std::optional<ApiError> ParseObject(std::string_view body, Json& out);

// ---- Writing ---------------------------------------------------------------------------------
void Quote(std::string& out, std::string_view text);  // bytes that are not UTF-8 become U+FFFD
std::string Quoted(std::string_view text);
std::string QuotedOrNull(std::string_view text);  // empty: null
std::string Dump(const Json& json);               // on one line; invalid UTF-8 replaced
std::string LogprobText(float value);             // JSON has no infinities: -9999.0
std::string UsageJson(const Usage& usage);        // completions and chat
// `"token":..,"logprob":..,"bytes":[..]`, the form of chat and responses.
void AppendTokenLogprob(std::string& out, std::string_view token, float logprob);
// The list of {token, logprob, bytes, top_logprobs}.
std::string TokenLogprobList(const std::vector<TokenLogprob>& logprobs);

// ---- Reading ---------------------------------------------------------------------------------
class Reader {
 public:
  // `prefix`: what the names of fields begin with in messages ("stream_options.").
  explicit Reader(const Json& json, std::string prefix = {})
      : json_(json), prefix_(std::move(prefix)) {}
  const std::optional<ApiError>& error() const { return error_; }
  bool ok() const { return !error_; }
  std::string Name(std::string_view param) const { return prefix_ + std::string(param); }

  void Bad(std::string_view param, std::string_view what);
  void Take(const Reader& nested) {
    if (!error_) error_ = nested.error_;
  }
  // nullptr: absent or null.
  const Json* Get(std::string_view param) const;
  void Number(std::string_view param, double low, double high, float& out);
  std::optional<int64_t> Integer(std::string_view param, int64_t low, int64_t high);
  bool Boolean(std::string_view param, bool otherwise);
  std::string String(std::string_view param);
  // One of `allowed`, or `otherwise` when absent.
  std::string OneOf(std::string_view param, const std::vector<std::string_view>& allowed,
                    std::string_view otherwise);
  // Known to clients, not offered here: fine when it asks for nothing.
  void Unoffered(std::string_view param, const Json& neutral,
                 std::string_view instead = "leave it out");

 private:
  const Json& json_;
  std::string prefix_;
  std::optional<ApiError> error_;
};

// Whole numbers from 0 to INT32_MAX, or nullopt.
std::optional<std::vector<int32_t>> TokenIds(const Json& list);

// Text, or a list of parts with one of the `types` and a "text"; nullopt: something else. Absent
// and null are empty.
std::optional<std::string> TextOfContent(const Json* content,
                                         const std::vector<std::string_view>& types);

}  // namespace weir::wire
