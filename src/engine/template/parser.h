// The syntax tree of a template, and how text becomes one. Only for files of
// this folder.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "engine/template/value.h"

namespace weir::templates {

struct Place {
  int line = 1, column = 1;
};
Error ErrorAt(Place place, std::string_view what, Code code = Code::kInvalidArgument);

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

struct Expr {
  enum class Kind : uint8_t {
    kLiteral,
    kName,
    kList,
    kTuple,
    kDict,       // kDict: parts are key, value, key, value, ...
    kAttribute,  // parts[0].name
    kIndex,      // parts[0][parts[1]]
    kSlice,      // parts[0][parts[1]:parts[2]:parts[3]], null where left out
    kCall,       // parts[0](parts[1...], named...)
    kFilter,
    kTest,  // name of parts[0] with the rest as arguments
    kNot,
    kNegative,
    kPositive,
    kAnd,
    kOr,
    kBinary,   // name: + - * / // % **
    kCompare,  // parts[0] ops[0] parts[1] ops[1] ...
    kConcat,
    kIfElse  // parts[0] if parts[1] else parts[2] (which may be null)
  };
  Kind kind = Kind::kLiteral;
  Place place;
  Value value;
  std::string name;
  std::vector<ExprPtr> parts;
  std::vector<std::pair<std::string, ExprPtr>> named;
  std::vector<std::string> ops;
  bool negate = false;  // kTest: is not
  int height = 1;       // of the tree below, bounded by kMaxHeight
};

inline constexpr int kMaxHeight = 300;

struct Statement;
using Body = std::vector<Statement>;

struct Statement {
  enum class Kind : uint8_t {
    kText,
    kOutput,
    kIf,
    kFor,
    kSet,
    kSetBlock,
    kSetAttribute,
    kMacro,
    kCallBlock,
    kFilterBlock,
    kBlock,
    kBreak,
    kContinue
  };
  Kind kind = Kind::kText;
  Place place;
  std::string text;                // kText; name of kSetAttribute, kMacro
  std::vector<std::string> names;  // targets of kFor and kSet; parameters of kMacro, kCallBlock
  std::string object;              // kSetAttribute
  ExprPtr expr;                    // what is shown, iterated, assigned, called; the filter
  ExprPtr filter;                  // kFor: "if"
  std::vector<std::pair<ExprPtr, Body>> branches;  // kIf; a null condition is "else"
  Body body, otherwise;                            // kFor: else
  std::vector<ExprPtr> defaults;                   // of the last parameters of kMacro
};

// What a template is made of.
struct Program {
  Body body;
  std::set<std::string, std::less<>> names;  // of variables that it reads
};

Result<std::shared_ptr<const Program>> ParseTemplate(std::string_view source);

}  // namespace weir::templates
