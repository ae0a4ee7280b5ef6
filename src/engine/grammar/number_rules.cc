#include "engine/grammar/number_rules.h"

#include <algorithm>
#include <map>

namespace weir::grammar {
namespace {

// Natural numbers as strings of digits without leading zeros.
int CompareNatural(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return a.size() < b.size() ? -1 : 1;
  return a.compare(b);
}
std::string PlusOne(std::string n) {
  for (size_t i = n.size(); i-- > 0;) {
    if (n[i] != '9') {
      ++n[i];
      return n;
    }
    n[i] = '0';
  }
  return "1" + n;
}
std::string MinusOne(std::string n) {  // n > 0
  for (size_t i = n.size(); i-- > 0;) {
    if (n[i] != '0') {
      --n[i];
      break;
    }
    n[i] = '9';
  }
  if (n.size() > 1 && n[0] == '0') n.erase(0, 1);
  return n;
}

class NumberMaker {
 public:
  NumberMaker(Rules& rules, int max_digits, int max_fraction = 0)
      : rules_(rules),
        max_digits_(max_digits),
        max_fraction_(max_fraction > 0 ? max_fraction : max_digits) {}

  NodeId Digit(char low, char high) {
    return rules_.Set(model::CodeSet{{static_cast<uint32_t>(low), static_cast<uint32_t>(high)}});
  }
  NodeId Digits(int min, int max) { return rules_.Repeat(Digit('0', '9'), min, max); }

  // Numbers of one length from `low` to `high`.
  NodeId SameLength(std::string_view low, std::string_view high) {
    const auto n = static_cast<int>(low.size());
    if (n == 0) return rules_.Empty();
    if (low.find_first_not_of('0') == low.npos && high.find_first_not_of('9') == high.npos) {
      return Digits(n, n);
    }
    const char a = low[0], b = high[0];
    if (a == b) {
      return rules_.Sequence({Digit(a, a), SameLength(low.substr(1), high.substr(1))});
    }
    const std::string nines(low.size() - 1, '9'), zeros(low.size() - 1, '0');
    std::vector<NodeId> all = {rules_.Sequence({Digit(a, a), SameLength(low.substr(1), nines)})};
    if (a + 1 <= b - 1) {
      all.push_back(rules_.Sequence(
          {Digit(static_cast<char>(a + 1), static_cast<char>(b - 1)), Digits(n - 1, n - 1)}));
    }
    all.push_back(rules_.Sequence({Digit(b, b), SameLength(zeros, high.substr(1))}));
    return rules_.Choice(std::move(all));
  }

  // From `low` to `high`, or without end (but for max_digits).
  NodeId Natural(const std::string& low, const std::optional<std::string>& high) {
    std::vector<NodeId> all;
    if (high && CompareNatural(low, *high) > 0) return rules_.Never();
    const size_t last = high ? high->size() : low.size();
    for (size_t n = low.size(); n <= last; ++n) {
      const std::string from = n == low.size() ? low : "1" + std::string(n - 1, '0');
      const std::string to = high && n == last ? *high : std::string(n, '9');
      all.push_back(SameLength(from, to));
    }
    if (!high) {
      const auto more = static_cast<int>(low.size());
      if (more < max_digits_) {
        all.push_back(rules_.Sequence({Digit('1', '9'), Digits(more, max_digits_ - 1)}));
      }
    }
    return rules_.Choice(std::move(all));
  }

  NodeId AnyFraction() {
    return rules_.Optional(rules_.Sequence({rules_.Bytes("."), Digits(1, max_fraction_)}));
  }

  // What may follow a whole part that equals that of a bound: ".digits" or nothing.
  NodeId Fraction(const Bound* low, const Bound* high) {
    const NodeId digits = FractionDigits(low, high, 0);
    const NodeId with_point = rules_.Sequence({rules_.Bytes("."), digits});
    return MayStop(low, high, 0) ? rules_.Choice({with_point, rules_.Empty()}) : with_point;
  }

  NodeId IntegerIn(const Bounds& bounds) {
    const auto natural = [&](const Bounds& b) {  // 0 and above
      std::string from = "0";
      if (b.low && !b.low->at.negative) {
        from = b.low->at.whole;
        if (!b.low->at.fraction.empty() || b.low->exclusive) from = PlusOne(from);
      }
      std::optional<std::string> to;
      if (b.high) {
        if (b.high->at.negative) return rules_.Never();
        to = b.high->at.whole;
        if (b.high->exclusive && b.high->at.fraction.empty()) {
          if (*to == "0") return rules_.Never();
          to = MinusOne(*to);
        }
      }
      return Natural(from, to);
    };
    return BothSigns(bounds, natural);
  }

  NodeId NumberIn(const Bounds& bounds) {
    const auto positive = [&](const Bounds& b) {
      Bound low;
      if (b.low && !b.low->at.negative) low = *b.low;
      if (b.high && (b.high->at.negative || Compare(low.at, b.high->at) > 0)) {
        return rules_.Never();
      }
      if (b.high && Compare(low.at, b.high->at) == 0 && (low.exclusive || b.high->exclusive)) {
        return rules_.Never();
      }
      const std::string& a = low.at.whole;
      if (b.high && b.high->at.whole == a) {
        return rules_.Sequence({rules_.Bytes(a), Fraction(&low, &*b.high)});
      }
      std::vector<NodeId> all = {rules_.Sequence({rules_.Bytes(a), Fraction(&low, nullptr)})};
      if (!b.high) {
        all.push_back(rules_.Sequence({Natural(PlusOne(a), std::nullopt), AnyFraction()}));
      } else {
        const std::string from = PlusOne(a), to = MinusOne(b.high->at.whole);
        if (CompareNatural(from, to) <= 0) {
          all.push_back(rules_.Sequence({Natural(from, to), AnyFraction()}));
        }
        all.push_back(
            rules_.Sequence({rules_.Bytes(b.high->at.whole), Fraction(nullptr, &*b.high)}));
      }
      return rules_.Choice(std::move(all));
    };
    return BothSigns(bounds, positive);
  }

 private:
  // `positive` makes the numbers from 0 up within bounds; the others are its mirror image.
  template <class Positive>
  NodeId BothSigns(const Bounds& bounds, const Positive& positive) {
    std::vector<NodeId> all = {positive(bounds)};
    const auto mirror = [](const std::optional<Bound>& bound) {
      std::optional<Bound> out = bound;
      if (out) out->at.negative = !out->at.negative && !out->at.IsZero();
      return out;
    };
    Bounds mirrored{.low = mirror(bounds.high), .high = mirror(bounds.low)};
    // Below zero only: "-0" is not written.
    if (!mirrored.low || mirrored.low->at.negative || mirrored.low->at.IsZero()) {
      mirrored.low = Bound{.at = {}, .exclusive = true};
    }
    const bool none = mirrored.high && (mirrored.high->at.negative || mirrored.high->at.IsZero());
    if (!none) all.push_back(rules_.Sequence({rules_.Bytes("-"), positive(mirrored)}));
    return rules_.Choice(std::move(all));
  }

  static char DigitAt(const Bound& b, size_t i) {
    return i < b.at.fraction.size() ? b.at.fraction[i] : '0';
  }
  // May the number end before digit `i`, all digits so far being those of the bounds given?
  static bool MayStop(const Bound* low, const Bound* high, size_t i) {
    if (low != nullptr && (low->at.fraction.size() > i || low->exclusive)) return false;
    return high == nullptr || high->at.fraction.size() > i || !high->exclusive;
  }
  // Digits from the i-th on; at least one.
  NodeId FractionDigits(const Bound* low, const Bound* high, size_t i) {
    if (low != nullptr && i >= low->at.fraction.size() && !low->exclusive) low = nullptr;
    const int left = std::max(1, max_fraction_ - static_cast<int>(i));
    if (low == nullptr && high == nullptr) return Digits(1, left);
    if (high != nullptr && i >= high->at.fraction.size()) {
      // Only zeros keep it from going beyond, and not even they if the bound itself is out.
      if (high->exclusive || low != nullptr) return rules_.Never();
      return rules_.Repeat(Digit('0', '0'), 1, left);
    }
    if (low != nullptr && i >= low->at.fraction.size() && high == nullptr) {
      // Above the bound by any digit that is not zero.
      return rules_.Sequence(
          {rules_.Repeat(Digit('0', '0'), 0, left - 1), Digit('1', '9'), Digits(0, left)});
    }
    const char a = low != nullptr ? DigitAt(*low, i) : '0';
    const char b = high != nullptr ? DigitAt(*high, i) : '9';
    std::vector<NodeId> all;
    const auto then = [&](char digit, const Bound* l, const Bound* h) {
      const NodeId first = Digit(digit, digit);
      const NodeId more = FractionDigits(l, h, i + 1);
      all.push_back(rules_.Sequence({first, more}));
      if (MayStop(l, h, i + 1)) all.push_back(first);
    };
    if (a == b) {
      then(a, low, high);
    } else if (a < b) {
      if (low != nullptr) then(a, low, nullptr);
      const char from = low != nullptr ? static_cast<char>(a + 1) : a;
      const char to = high != nullptr ? static_cast<char>(b - 1) : b;
      if (from <= to) all.push_back(rules_.Sequence({Digit(from, to), Digits(0, left - 1)}));
      if (high != nullptr) then(b, nullptr, high);
    }
    return rules_.Choice(std::move(all));
  }

  Rules& rules_;
  int max_digits_;
  int max_fraction_;
};

// The rules of a whole number's digits: the rest of it by what is left over so far when it is
// divided, and by how many digits may follow.
class Modulus {
 public:
  Modulus(Rules& rules, int of, int max_digits) : rules_(rules), of_(of), digits_(max_digits) {}

  NodeId Multiples(bool zero, bool negative) {
    std::vector<NodeId> all;
    if (zero) all.push_back(rules_.Bytes("0"));
    std::vector<NodeId> first;
    for (int digit = 1; digit <= 9; ++digit) first.push_back(Then(digit, digit % of_, digits_ - 1));
    const NodeId whole = rules_.Choice(std::move(first));
    all.push_back(negative ? rules_.Sequence({rules_.Optional(rules_.Bytes("-")), whole}) : whole);
    return rules_.Choice(std::move(all));
  }

 private:
  NodeId Then(int digit, int over, int left) {
    const auto code = static_cast<uint32_t>('0' + digit);
    return rules_.Sequence(
        {rules_.Set(model::CodeSet{{code, code}}), rules_.Call(Rest(over, left))});
  }
  RuleId Rest(int over, int left) {
    const auto [it, is_new] = rest_.try_emplace({over, left}, -1);
    if (!is_new) return it->second;
    const RuleId rule = it->second = rules_.NewRule("a multiple");
    std::vector<NodeId> all;
    if (over == 0) all.push_back(rules_.Empty());
    for (int digit = 0; digit <= 9 && left > 0; ++digit)
      all.push_back(Then(digit, (10 * over + digit) % of_, left - 1));
    rules_.Define(rule, rules_.Choice(std::move(all)));
    return rule;
  }

  Rules& rules_;
  int of_, digits_;
  std::map<std::pair<int, int>, RuleId> rest_;
};

constexpr int64_t kMostListed = 1000;

// A bound that is a whole number, small enough to count with.
std::optional<int64_t> Small(const Decimal& d) {
  if (!d.fraction.empty() || d.whole.size() > 15) return std::nullopt;
  const int64_t n = std::stoll(d.whole);
  return d.negative ? -n : n;
}

}  // namespace

std::optional<Decimal> Decimal::From(std::string_view text) {
  Decimal d;
  size_t i = 0;
  if (i < text.size() && text[i] == '-') {
    d.negative = true;
    ++i;
  }
  std::string digits;
  int64_t point = -1, exponent = 0;
  for (; i < text.size(); ++i) {
    const char c = text[i];
    if (c >= '0' && c <= '9') {
      digits += c;
    } else if (c == '.' && point < 0) {
      point = static_cast<int64_t>(digits.size());
    } else {
      break;
    }
  }
  if (digits.empty()) return std::nullopt;
  if (i < text.size()) {
    if (text[i] != 'e' && text[i] != 'E') return std::nullopt;
    ++i;
    const bool down = i < text.size() && text[i] == '-';
    if (i < text.size() && (text[i] == '-' || text[i] == '+')) ++i;
    for (; i < text.size(); ++i) {
      if (text[i] < '0' || text[i] > '9') return std::nullopt;
      exponent = std::min<int64_t>(exponent * 10 + (text[i] - '0'), 1000);
    }
    if (down) exponent = -exponent;
  }
  if (point < 0) point = static_cast<int64_t>(digits.size());
  point += exponent;
  if (point <= 0) {
    digits.insert(0, static_cast<size_t>(1 - point), '0');
    point = 1;
  }
  if (point > static_cast<int64_t>(digits.size())) {
    digits.append(static_cast<size_t>(point) - digits.size(), '0');
  }
  d.whole = digits.substr(0, static_cast<size_t>(point));
  d.fraction = digits.substr(static_cast<size_t>(point));
  const size_t first = d.whole.find_first_not_of('0');
  d.whole = first == std::string::npos ? "0" : d.whole.substr(first);
  const size_t last = d.fraction.find_last_not_of('0');
  d.fraction.resize(last == std::string::npos ? 0 : last + 1);
  if (d.IsZero()) d.negative = false;
  return d;
}

int Compare(const Decimal& a, const Decimal& b) {
  if (a.negative != b.negative) return a.negative ? -1 : 1;
  int order = CompareNatural(a.whole, b.whole);
  if (order == 0) order = a.fraction.compare(b.fraction);
  order = order < 0 ? -1 : order > 0 ? 1 : 0;
  return a.negative ? -order : order;
}

std::optional<NodeId> MultiplesNode(Rules& rules, const Decimal& of, bool integer,
                                    const Bounds& bounds, int max_digits) {
  const bool power = of.whole == "0" &&
                     of.fraction.find_first_not_of('0') + 1 == of.fraction.size() &&
                     of.fraction.back() == '1';
  const bool one = of.whole == "1" && of.fraction.empty();
  if (one || (integer && power)) return IntegerNode(rules, bounds, max_digits);
  if (power) {
    const auto fits = [](const std::optional<Bound>& bound) {
      return !bound || (bound->at.fraction.empty() && !bound->exclusive);
    };
    if (!fits(bounds.low) || !fits(bounds.high)) return std::nullopt;
    return NumberMaker(rules, max_digits, static_cast<int>(of.fraction.size())).NumberIn(bounds);
  }
  const std::optional<int64_t> n = Small(of);
  if (!n || *n < 1) return std::nullopt;
  std::optional<int64_t> low, high;
  if (bounds.low) {
    low = Small(bounds.low->at);
    if (!low) return std::nullopt;
    *low += bounds.low->exclusive;
  }
  if (bounds.high) {
    high = Small(bounds.high->at);
    if (!high) return std::nullopt;
    *high -= bounds.high->exclusive;
  }
  if (low && high && (*high - *low) / *n <= kMostListed) {
    std::vector<NodeId> all;
    const int64_t first = *low <= 0 ? -(-*low / *n) * *n : (*low + *n - 1) / *n * *n;
    for (int64_t at = first; at <= *high; at += *n) all.push_back(rules.Bytes(std::to_string(at)));
    return rules.Choice(std::move(all));
  }
  if (*n > kMostModulus || high || (low && *low != 0 && *low != 1)) return std::nullopt;
  return Modulus(rules, static_cast<int>(*n), max_digits).Multiples(!low || *low == 0, !low);
}

NodeId IntegerNode(Rules& rules, const Bounds& bounds, int max_digits) {
  return NumberMaker(rules, max_digits).IntegerIn(bounds);
}

NodeId NumberNode(Rules& rules, const Bounds& bounds, int max_digits) {
  NumberMaker make(rules, max_digits);
  if (bounds.low || bounds.high) return make.NumberIn(bounds);
  return rules.Sequence(
      {rules.Optional(rules.Bytes("-")), make.Natural("0", std::nullopt), make.AnyFraction(),
       rules.Optional(rules.Sequence({rules.Set({{'E', 'E'}, {'e', 'e'}}),
                                      rules.Optional(rules.Set({{'+', '+'}, {'-', '-'}})),
                                      make.Digits(1, 2)}))});
}

}  // namespace weir::grammar
