// One pass over a request's JSON body: is it JSON in UTF-8, and what do "model" and "stream" say?
// Everything else in it is the replica's business and is passed on byte for byte.
//
// Why not the JSON library: prompts are the bulk of the traffic, tens of kilobytes each, and
// building a document of one costs more than forwarding it (bench/gateway measures both). What is
// accepted is exactly what nlohmann-json accepts, but for nesting, which is bounded here,
// and a NUL after the object, which is not JSON; the fuzz
// target holds the two together.
//
// Grammar: RFC 8259, UTF-8 by RFC 3629, surrogate escapes only in pairs. A repeated key counts as
// its last value, as in the library.
// Pure; reads only its argument.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace weir::gateway {

struct BodyScan {
  std::string model;       // "" when absent or not a string
  bool has_model = false;  // a string was given
  bool stream = false;     // true only when the value is `true`
};

inline constexpr int kMaxJsonDepth = 128;

// kInvalidArgument: not a JSON object in UTF-8; says at which byte.
Result<BodyScan> ScanBody(std::string_view json);

}  // namespace weir::gateway
