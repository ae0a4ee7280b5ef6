// A template cut into text and tags, and tags into tokens, with the white space
// that belongs to neither already taken away. Only for files of this folder.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/template/parser.h"

namespace weir::templates {

struct Token {
  enum class Kind : uint8_t {
    kText,
    kBlockBegin,
    kBlockEnd,  // {% %}
    kOutputBegin,
    kOutputEnd,  // {{ }}
    kName,
    kString,
    kInteger,
    kFloat,
    kOperator,
    kEnd
  };
  Kind kind = Kind::kEnd;
  std::string text;  // of a string: its value
  Place place;
};

Result<std::vector<Token>> Lex(std::string_view source);

}  // namespace weir::templates
