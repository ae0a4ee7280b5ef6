#include "lab/plan/text.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <set>

#include "base/nearest.h"

namespace weir::plan {

namespace {

struct Suffix {
  std::string_view text;
  double factor;
};
struct UnitInfo {
  std::string_view example;
  std::vector<Suffix> suffixes;
  bool dollars = false;
};

constexpr double kHoursPerMonth = 730;

const UnitInfo& InfoOf(Unit unit) {
  static const UnitInfo kTable[] = {
      {"$2.40/h",
       {{"/h", 1}, {"/hour", 1}, {"/month", 1 / kHoursPerMonth}, {"/mo", 1 / kHoursPerMonth}},
       true},
      {"$12.5M", {{"", 1}, {"k", 1e3}, {"M", 1e6}, {"B", 1e9}}, true},
      {"40%", {{"%", 0.01}}},
      {"8%/year", {{"%/year", 0.01}, {"%/yr", 0.01}, {"%/month", 0.01}}},
      {"3%/month", {{"%/month", 0.01}, {"%/year", 0.01}, {"%/yr", 0.01}}},
      {"6 months",
       {{"month", 1},
        {"months", 1},
        {"mo", 1},
        {"year", 12},
        {"years", 12},
        {"y", 12},
        {"yr", 12},
        {"day", 12 / 365.25},
        {"days", 12 / 365.25},
        {"d", 12 / 365.25},
        {"week", 84 / 365.25},
        {"weeks", 84 / 365.25},
        {"w", 84 / 365.25}}},
      {"5MW", {{"W", 1e-3}, {"kW", 1}, {"MW", 1e3}, {"GW", 1e6}}},
      {"250g/kWh", {{"g/kWh", 1}, {"kg/MWh", 1}}},
      {"900t/year", {{"t/year", 1}, {"kt/year", 1e3}, {"t/yr", 1}, {"kt/yr", 1e3}}},
      {"1200", {{"", 1}, {"k", 1e3}, {"M", 1e6}}},
  };
  return kTable[static_cast<size_t>(unit)];
}

std::string_view Trim(std::string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t' || s.back() == '\r'))
    s.remove_suffix(1);
  return s;
}

}  // namespace

Result<double> ParseQuantity(std::string_view text, Unit unit, std::string_view what) {
  const UnitInfo& info = InfoOf(unit);
  const std::string_view all = Trim(text);
  std::string_view s = all;
  const auto wrong = [&](std::string_view why) {
    return Error(Code::kInvalidArgument, fmt::format("{}: \"{}\" {}", what, all.substr(0, 60), why))
        .Hint(fmt::format("write it such as {}", info.example));
  };
  bool dollars = false, negative = false;
  if (s.starts_with("-$")) {
    negative = dollars = true;
    s.remove_prefix(2);
  } else if (s.starts_with("$")) {
    dollars = true;
    s.remove_prefix(1);
  } else if (s.starts_with("USD")) {
    dollars = true;
    s.remove_prefix(3);
  }
  s = Trim(s);
  for (const std::string_view other : {"€", "£", "¥", "EUR", "GBP", "JPY", "CNY", "CHF"}) {
    if (all.find(other) != std::string_view::npos)
      return wrong("is in another currency: a plan counts in US dollars");
  }
  double value = 0;
  if (s.starts_with('+')) s.remove_prefix(1);
  const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), value);
  if (error != std::errc() || !std::isfinite(value)) return wrong("is no number");
  std::string_view suffix = Trim(s.substr(static_cast<size_t>(end - s.data())));
  if (info.dollars && !dollars) {
    if (suffix.starts_with("USD")) {
      suffix = Trim(suffix.substr(3));
    } else {
      return wrong("has no currency");
    }
  } else if (!info.dollars && dollars) {
    return wrong("is money, where something else is asked for");
  }
  if (negative) value = -value;
  for (const Suffix& known : info.suffixes) {
    if (suffix != known.text) continue;
    value *= known.factor;
    if (unit == Unit::kSharePerMonth && !suffix.ends_with("month")) {
      if (value <= -1) return wrong("loses more than all");
      value = std::pow(1 + value, 1.0 / 12) - 1;
    }
    if (unit == Unit::kSharePerYear && suffix.ends_with("month")) {
      if (value <= -1) return wrong("loses more than all");
      value = std::pow(1 + value, 12) - 1;
    }
    if (value < 0 && unit != Unit::kSharePerYear && unit != Unit::kSharePerMonth)
      return wrong("is negative");
    if (std::fabs(value) > 1e15) return wrong("is too large");
    return value;
  }
  return wrong(suffix.empty() ? "has no unit" : "has a unit of another kind");
}

Result<Month> ParseMonth(std::string_view text, std::string_view what) {
  const std::string_view s = Trim(text);
  const auto wrong = [&] {
    return Error(Code::kInvalidArgument,
                 fmt::format("{}: \"{}\" is no month", what, s.substr(0, 40)))
        .Hint("write it such as 2027-03 or 2027-03-15");
  };
  const auto digits = [&](size_t from, size_t count) -> int {
    int v = 0;
    for (size_t i = from; i < from + count; ++i) {
      if (i >= s.size() || s[i] < '0' || s[i] > '9') return -1;
      v = v * 10 + (s[i] - '0');
    }
    return v;
  };
  if (s.size() != 7 && s.size() != 10) return wrong();
  const int year = digits(0, 4), month = digits(5, 2);
  if (year < 1970 || s[4] != '-' || month < 1 || month > 12) return wrong();
  if (s.size() == 10) {
    const int day = digits(8, 2);
    if (s[7] != '-' || day < 1 || day > 31) return wrong();
  }
  return 12 * year + month - 1;
}

const std::string* Node::Find(std::string_view name) const {
  for (const auto& [key, value] : values)
    if (key == name) return &value;
  return nullptr;
}
const std::vector<std::string>* Node::FindList(std::string_view name) const {
  for (const auto& [key, value] : lists)
    if (key == name) return &value;
  return nullptr;
}
const Node* Node::Child(std::string_view name) const {
  for (const Node& c : children)
    if (c.kind == name) return &c;
  return nullptr;
}

Error Node::Wrong(Code code, const std::string& sentence) const {
  return Error(code, fmt::format("{}: {}", where, sentence));
}

Result<std::string> Node::Text(std::string_view name) const {
  const std::string* v = Find(name);
  if (v == nullptr || v->empty())
    return Wrong(Code::kInvalidArgument, fmt::format("this {} has no `{}`", kind, name))
        .Hint("docs/plan.md lists all fields");
  return *v;
}
std::string Node::TextOr(std::string_view name, std::string_view otherwise) const {
  const std::string* v = Find(name);
  return v == nullptr ? std::string(otherwise) : *v;
}
Result<double> Node::Number(std::string_view name, Unit unit) const {
  const std::string text = TRY(Text(name));
  return ParseQuantity(text, unit, fmt::format("{}: {}", where, name));
}
Result<double> Node::NumberOr(std::string_view name, Unit unit, double otherwise) const {
  if (Find(name) == nullptr) return otherwise;
  return Number(name, unit);
}
Result<Month> Node::DateOr(std::string_view name, Month otherwise) const {
  const std::string* v = Find(name);
  if (v == nullptr) return otherwise;
  return ParseMonth(*v, fmt::format("{}: {}", where, name));
}
Result<bool> Node::FlagOr(std::string_view name, bool otherwise) const {
  const std::string* v = Find(name);
  if (v == nullptr) return otherwise;
  if (*v == "true" || *v == "yes") return true;
  if (*v == "false" || *v == "no") return false;
  return Wrong(Code::kInvalidArgument,
               fmt::format("{}: \"{}\" is neither true nor false", name, *v));
}

Status Node::Only(const std::vector<std::string>& known) const {
  const auto check = [&](const std::string& name) -> Status {
    for (const std::string& k : known)
      if (k == name) return {};
    const std::string near = NearestOf(name, known);
    return Wrong(Code::kInvalidArgument, fmt::format("`{}` is no field of a {}", name, kind))
        .Hint(near.empty() ? "docs/plan.md lists all fields"
                           : fmt::format("did you mean `{}`?", near));
  };
  std::set<std::string> seen;
  for (const auto& [key, value] : values) {
    TRY(check(key));
    if (!seen.insert(key).second)
      return Wrong(Code::kInvalidArgument, fmt::format("`{}` is there twice", key));
  }
  for (const auto& [key, value] : lists) TRY(check(key));
  for (const Node& c : children) TRY(check(c.kind));
  return {};
}

Result<std::vector<Node>> ReadCsv(std::string_view text, std::string_view source,
                                  std::string_view kind) {
  if (text.size() > kMostBytes)
    return Error(Code::kTooLarge, fmt::format("{}: more than {} MiB", source, kMostBytes >> 20));
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  std::vector<std::string> heading;
  std::vector<Node> out;
  int line = 1;
  size_t i = 0;
  while (i < text.size()) {
    const int begins = line;
    std::vector<std::string> cells(1);
    bool quoted = false, was_quoted = false;
    for (; i < text.size(); ++i) {
      const char c = text[i];
      if (c == '\n') ++line;
      if (quoted) {
        if (c == '"' && i + 1 < text.size() && text[i + 1] == '"') {
          cells.back() += '"';
          ++i;
        } else if (c == '"') {
          quoted = false;
        } else {
          cells.back() += c;
        }
      } else if (c == '"' && Trim(cells.back()).empty()) {
        cells.back().clear();
        quoted = was_quoted = true;
      } else if (c == ',') {
        cells.emplace_back();
      } else if (c == '\n') {
        ++i;
        break;
      } else {
        cells.back() += c;
      }
    }
    if (quoted)
      return Error(Code::kInvalidArgument,
                   fmt::format("{}:{}: a quote is never closed", source, begins));
    for (std::string& c : cells) c = std::string(Trim(c));
    if (cells.size() == 1 && cells[0].empty() && !was_quoted) continue;  // a blank line
    if (cells[0].starts_with('#')) continue;
    if (heading.empty()) {
      heading = std::move(cells);
      continue;
    }
    if (cells.size() != heading.size())
      return Error(Code::kInvalidArgument, fmt::format("{}:{}: {} cells under {} headings", source,
                                                       begins, cells.size(), heading.size()))
          .Hint("quote a cell that has a comma in it");
    if (out.size() >= kMostRows)
      return Error(Code::kTooLarge, fmt::format("{}: more than {} rows", source, kMostRows));
    Node n;
    n.kind = kind;
    n.where = fmt::format("{}:{}", source, begins);
    for (size_t c = 0; c < cells.size(); ++c)
      if (!cells[c].empty()) n.values.emplace_back(heading[c], std::move(cells[c]));
    out.push_back(std::move(n));
  }
  if (heading.empty()) return Error(Code::kInvalidArgument, fmt::format("{}: it is empty", source));
  return out;
}

}  // namespace weir::plan
