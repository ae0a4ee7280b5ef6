#include "wire/schema.h"

#include <fmt/format.h>

#include "base/text.h"

namespace weir::wire {

namespace schema_internal {

Error WrongType(const std::string& path, std::string_view expected, const Json& got) {
  return Error(Code::kInvalidArgument,
               fmt::format("{}: expected {}, got {}", path.empty() ? "the body" : path, expected,
                           got.is_number_float() ? "a fraction"
                           : got.is_null()       ? "null"
                           : got.is_number()     ? "a number"
                           : got.is_string()     ? "a string"
                           : got.is_boolean()    ? "a boolean"
                           : got.is_array()      ? "an array"
                                                 : "an object"));
}

const Json* Reader::Find(const char* name, Need need, bool may_be_null) {
  known.push_back(name);
  if (!status) return nullptr;
  const auto it = in.find(name);
  if (it == in.end()) {
    if (need == kRequired)
      status = Error(Code::kInvalidArgument, At(name) + ": missing; it is required");
    return nullptr;
  }
  ++seen;
  return may_be_null && it->is_null() ? nullptr : &*it;
}

Status Reader::Unknown() const {
  for (const auto& [key, unused] : in.items()) {
    bool found = false;
    std::string names;
    for (const std::string_view name : known) {
      found = found || name == key;
      names += (names.empty() ? "" : ", ") + std::string(name);
    }
    if (!found) {
      return Error(Code::kInvalidArgument, At(key) + ": not a known field").Hint("known: " + names);
    }
  }
  return {};
}

void Describer::Add(const char* name, Json schema, const char* doc, Need need) {
  if (*doc) schema["description"] = doc;
  properties[name] = std::move(schema);
  if (need == kRequired) required.push_back(name);
}

Json Describer::Take() && {
  Json out = {
      {"type", "object"}, {"properties", std::move(properties)}, {"additionalProperties", false}};
  if (!required.empty()) out["required"] = std::move(required);
  return out;
}

}  // namespace schema_internal

Result<Json> ParseJson(std::string_view text) {
  if (MeasureJson(text, kMaxDepth).depth > static_cast<size_t>(kMaxDepth)) {
    return Error(Code::kInvalidArgument,
                 fmt::format("JSON nested deeper than {} levels", kMaxDepth));
  }
  try {
    return Json::parse(text);
  } catch (const Json::parse_error& e) {
    return Error(Code::kInvalidArgument,
                 fmt::format("not valid JSON at byte {} of {}", e.byte, text.size()))
        .Hint("check quotes, commas and UTF-8");
  } catch (const Json::exception& e) {
    return Error(Code::kInvalidArgument, fmt::format("not usable JSON: {}", e.what()));
  }
}

}  // namespace weir::wire
