// Numbers within bounds as rules over their digits, exactly: bounds are decimal fractions of any
// length, and no arithmetic rounds.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "engine/grammar/rules.h"

namespace weir::grammar {

struct Decimal {
  bool negative = false;
  std::string whole = "0";  // without leading zeros
  std::string fraction;     // without trailing zeros
  static std::optional<Decimal> From(std::string_view json_number);
  bool IsZero() const { return whole == "0" && fraction.empty(); }
};
int Compare(const Decimal& a, const Decimal& b);  // <0, 0, >0

struct Bound {
  Decimal at;
  bool exclusive = false;
};
struct Bounds {
  std::optional<Bound> low, high;
};

// Multiples of `of` (> 0) within bounds. nullopt where no rules are made for that: offered are
// powers of ten up to 1, with bounds that are whole and included, and whole numbers up to
// kMostModulus without bounds, from 0 or 1 on, or few enough to be listed.
inline constexpr int kMostModulus = 100;
std::optional<NodeId> MultiplesNode(Rules& rules, const Decimal& of, bool integer,
                                    const Bounds& bounds, int max_digits);

// Without an exponent where there are bounds. kNever where nothing lies within.
NodeId IntegerNode(Rules& rules, const Bounds& bounds, int max_digits);
NodeId NumberNode(Rules& rules, const Bounds& bounds, int max_digits);

}  // namespace weir::grammar
