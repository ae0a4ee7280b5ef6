#include "lab/market/money.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>

#include "base/check.h"

namespace weir::market {

namespace {
__extension__ using Wide = __int128;

Money Clamp(Wide micro) {
  constexpr Wide kTop = INT64_MAX;
  return {static_cast<int64_t>(std::clamp<Wide>(micro, -kTop, kTop))};
}

std::string Grouped(uint64_t n) {
  std::string s = std::to_string(n);
  for (int i = static_cast<int>(s.size()) - 3; i > 0; i -= 3) s.insert(static_cast<size_t>(i), ",");
  return s;
}

std::string WithCurrency(bool negative, const std::string& number, std::string_view currency) {
  if (currency == kUsd) return fmt::format("{}${}", negative ? "-" : "", number);
  return fmt::format("{} {}{}", currency, negative ? "-" : "", number);
}

uint64_t Magnitude(Money m) {
  return m.micro < 0 ? uint64_t{0} - static_cast<uint64_t>(m.micro)
                     : static_cast<uint64_t>(m.micro);
}

std::string_view Trim(std::string_view s) {
  while (!s.empty() && s.front() == ' ') s.remove_prefix(1);
  while (!s.empty() && s.back() == ' ') s.remove_suffix(1);
  return s;
}
}  // namespace

Error Wrong(std::string what, std::string hint) {
  return Error(Code::kInvalidArgument, std::move(what)).Hint(std::move(hint));
}

Money Scaled(Money amount, int64_t times, int64_t over) {
  CHECK(over > 0);
  const Wide product = Wide{amount.micro} * times;
  const Wide half = over / 2;
  // Half away from zero: for an odd divisor no tie exists, for an even one `half` is the tie.
  const Wide rounded = product >= 0 ? (product + half) / over : -((-product + half) / over);
  return Clamp(rounded);
}

std::vector<Money> Shared(Money total, const std::vector<int64_t>& weights) {
  std::vector<Money> parts(weights.size());
  if (weights.empty()) return parts;
  Wide sum = 0;
  for (const int64_t w : weights) {
    CHECK(w >= 0);
    sum += w;
  }
  if (sum == 0) {
    parts.back() = total;
    return parts;
  }
  const bool negative = total.micro < 0;
  const Wide whole = negative ? -Wide{total.micro} : Wide{total.micro};
  std::vector<std::pair<Wide, size_t>> left(weights.size());
  Wide given = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    const Wide product = whole * weights[i];
    const Wide part = product / sum;
    parts[i].micro = static_cast<int64_t>(negative ? -part : part);
    left[i] = {product % sum, i};
    given += part;
  }
  const auto rest = static_cast<size_t>(whole - given);  // fewer than there are parts
  std::stable_sort(left.begin(), left.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  for (size_t i = 0; i < rest; ++i) parts[left[i].second].micro += negative ? -1 : 1;
  return parts;
}

bool IsCurrency(std::string_view text) {
  return text.size() == 3 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
}

Result<Money> ParseAmount(std::string_view text, Fine fine) {
  const auto bad = [&](std::string_view why) {
    return Error(Code::kInvalidArgument, fmt::format("\"{}\" {}", text.substr(0, 64), why));
  };
  std::string_view rest = Trim(text);
  bool negative = false;
  if (!rest.empty() && (rest.front() == '-' || rest.front() == '+')) {
    negative = rest.front() == '-';
    rest.remove_prefix(1);
  }
  // Digits without the point, and how many of them stand behind it.
  std::string digits;
  int64_t behind = 0;
  bool point = false, any = false;
  size_t at = 0;
  for (; at < rest.size(); ++at) {
    const char c = rest[at];
    if (c == '.' && !point) {
      point = true;
    } else if (c >= '0' && c <= '9') {
      any = true;
      if (point) ++behind;
      if (!digits.empty() || c != '0') digits += c;
      if (digits.size() > 60) return bad("has too many digits");
    } else {
      break;
    }
  }
  if (!any) return bad("is not a number");
  if (at < rest.size() && (rest[at] == 'e' || rest[at] == 'E')) {
    int exponent = 0;
    const char* from = rest.data() + at + 1;
    const char* to = rest.data() + rest.size();
    if (from < to && *from == '+') ++from;
    const auto [end, problem] = std::from_chars(from, to, exponent);
    if (problem != std::errc() || end != to || std::abs(exponent) > 60)
      return bad("is not a number");
    behind -= exponent;
    at = rest.size();
  }
  if (at != rest.size()) return bad("is not a number");
  for (; behind < 6; ++behind) {
    if (!digits.empty()) digits += '0';
    if (digits.size() > 80) return bad("is too large");
  }
  bool up = false;
  for (; behind > 6; --behind) {
    if (digits.empty()) {
      up = false;
      continue;
    }
    const char last = digits.back();
    if (last != '0' && fine == Fine::kRefuse) return bad("is finer than a millionth");
    // What is cut off last, the highest of the cut digits, decides alone: half goes up.
    up = last >= '5';
    digits.pop_back();
  }
  if (digits.size() > 19) return bad("is too large");
  uint64_t micro = 0;
  for (const char c : digits) micro = micro * 10 + static_cast<uint64_t>(c - '0');
  if (up) ++micro;
  if (micro > static_cast<uint64_t>(kMaxAmount.micro)) return bad("is too large");
  return Money{negative ? -static_cast<int64_t>(micro) : static_cast<int64_t>(micro)};
}

std::string AmountText(Money m, int digits) {
  const uint64_t magnitude = Magnitude(m);
  std::string fraction = fmt::format("{:06}", magnitude % 1'000'000);
  while (!fraction.empty() && static_cast<int>(fraction.size()) > digits && fraction.back() == '0')
    fraction.pop_back();
  return fmt::format("{}{}{}{}", m.micro < 0 ? "-" : "", magnitude / 1'000'000,
                     fraction.empty() ? "" : ".", fraction);
}

std::string Human(Money m, std::string_view currency) {
  const uint64_t magnitude = Magnitude(m);
  if (magnitude != 0 && magnitude < 10'000) return HumanPrice(m, currency);
  const uint64_t cents = (magnitude + 5'000) / 10'000;
  return WithCurrency(m.micro < 0, fmt::format("{}.{:02}", Grouped(cents / 100), cents % 100),
                      currency);
}

std::string HumanPrice(Money m, std::string_view currency) {
  const std::string text = AmountText({static_cast<int64_t>(Magnitude(m))}, 2);
  const size_t point = text.find('.');
  return WithCurrency(m.micro < 0, Grouped(Magnitude(m) / 1'000'000) + text.substr(point),
                      currency);
}

Result<Price> ParsePrice(std::string_view text, std::string_view field) {
  const auto bad = [&](std::string_view why) {
    return Error(Code::kInvalidArgument, fmt::format("{}: \"{}\" {}", field, text, why))
        .Hint("write the price of an hour of one accelerator, as $2.49/h or 2.30EUR/h");
  };
  std::string_view rest = Trim(text);
  const size_t slash = rest.find('/');
  if (slash == rest.npos) return bad("has no unit");
  const std::string_view unit = Trim(rest.substr(slash + 1));
  if (unit != "h" && unit != "hr" && unit != "hour") return bad("is not a price per hour");
  rest = Trim(rest.substr(0, slash));
  Price out;
  if (rest.starts_with('$')) {
    out.currency = kUsd;
    rest = Trim(rest.substr(1));
  } else if (rest.starts_with("-$")) {
    return bad("is below zero");
  } else if (rest.size() > 3 && IsCurrency(rest.substr(0, 3))) {
    out.currency = rest.substr(0, 3);
    rest = Trim(rest.substr(3));
  } else if (rest.size() > 3 && IsCurrency(rest.substr(rest.size() - 3))) {
    out.currency = rest.substr(rest.size() - 3);
    rest = Trim(rest.substr(0, rest.size() - 3));
  } else {
    return bad("names no currency");
  }
  const auto amount = ParseAmount(rest);
  if (!amount) return bad(fmt::format("is no price: {}", amount.error().message()));
  if (amount->micro < 0) return bad("is below zero");
  out.amount = *amount;
  return out;
}

}  // namespace weir::market
