// JSON Schema as rules: texts that parse as JSON and are valid against the schema.
//
// Where a schema has no "type", the keywords that it has say which: one with "properties" is for
// objects. One with neither takes any value. Each string has one spelling per character where its
// content is held to something (enum, pattern, names), any that JSON has where it is not. Numbers
// have at most kMaxDigits digits before and behind the point, so that every reader can hold them.
// Errors name the path into the schema ("/properties/age: ...").
#pragma once

#include <string_view>

#include "base/result.h"
#include "engine/grammar/grammar.h"
#include "engine/grammar/rules.h"

namespace weir::grammar {

inline constexpr int kMaxDigits = 20;

Result<NodeId> SchemaNodeOf(Rules& rules, std::string_view schema, const SchemaOptions& options);
// Any value, or any object.
NodeId AnyJsonNode(Rules& rules, bool object, const SchemaOptions& options);

}  // namespace weir::grammar
