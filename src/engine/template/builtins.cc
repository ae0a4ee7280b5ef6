// Filters of lists and values, tests, and the names that every template has.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/template/interpreter.h"

namespace weir::templates {
namespace {

using In = Interpreter;
using Kind = Value::Kind;
constexpr int64_t kMaxRange = 100'000;

// `otherwise`, where it is given, stands for each part of the path that is not there.
Result<Value> Attribute(In& in, const Value& item, const Value& attribute,
                        const Value* otherwise = nullptr) {
  if (attribute.integer()) return in.Item(item, attribute);
  if (!attribute.string()) return in.Bad("an attribute's name is a string");
  Value at = item;
  const std::string& path = attribute.text();
  for (size_t i = 0; i <= path.size();) {  // "function.name"
    const size_t end = std::min(path.find('.', i), path.size());
    const std::string name = path.substr(i, end - i);
    const bool number = !name.empty() && name.size() < 9 &&
                        name.find_first_not_of("0123456789") == std::string::npos;
    at = TRY(in.Item(at, number ? Value::Int(std::stoll(name)) : Value::String(name)));
    if (at.undefined() && otherwise != nullptr) at = *otherwise;
    i = end + 1;
  }
  return at;
}

Arguments Behind(const Arguments& all, size_t n) {
  Arguments rest;
  for (size_t i = n; i < all.positional.size(); ++i) rest.positional.push_back(all.positional[i]);
  rest.named = all.named;
  return rest;
}

bool Flag(const Arguments& a, size_t at, std::string_view name, bool otherwise = false) {
  const Value* given = Given(a, at, name);
  return given == nullptr ? otherwise : given->Truthy();
}

Result<int64_t> IntArgument(In& in, const Arguments& a, size_t at, std::string_view name,
                            int64_t otherwise) {
  const Value* given = Given(a, at, name);
  if (given == nullptr || given->none()) return otherwise;
  if (!given->integer())
    return in.Bad(fmt::format("{} is a {}, no integer", name, given->TypeName()));
  return given->int_value();
}

Result<Value> Length(In& in, const Value& v, Arguments&) {
  if (v.string()) return Value::Int(static_cast<int64_t>(CountCharacters(v.text())));
  if (v.list()) return Value::Int(static_cast<int64_t>(v.items().items.size()));
  if (v.dict() && !v.members()->is_namespace) {
    return Value::Int(static_cast<int64_t>(v.members()->members.size()));
  }
  if (v.undefined()) return Value::Int(0);
  return in.Bad(fmt::format("a {} has no length", v.TypeName()));
}

Result<Value> Default(In&, const Value& v, Arguments& a) {
  const Value* otherwise = Given(a, 0, "default_value");
  const bool missing = v.undefined() || (Flag(a, 1, "boolean") && !v.Truthy());
  if (!missing) return v;
  return otherwise != nullptr ? *otherwise : Value::String("");
}

Result<Value> First(In& in, const Value& v, Arguments&) {
  const std::vector<Value> items = TRY(in.Iterate(v));
  return items.empty() ? Value::Missing("the first of nothing") : items.front();
}
Result<Value> Last(In& in, const Value& v, Arguments&) {
  const std::vector<Value> items = TRY(in.Iterate(v));
  return items.empty() ? Value::Missing("the last of nothing") : items.back();
}
Result<Value> ListOf(In& in, const Value& v, Arguments&) { return in.MakeList(TRY(in.Iterate(v))); }
Result<Value> Join(In& in, const Value& v, Arguments& a) {
  const Value* between = Given(a, 0, "d");
  const Value* attribute = Given(a, 1, "attribute");
  std::string text;
  bool first = true;
  for (const Value& item : TRY(in.Iterate(v))) {
    if (!first && between != nullptr) text += ToText(*between);
    first = false;
    text += ToText(attribute != nullptr ? TRY(Attribute(in, item, *attribute)) : item);
  }
  return in.Text(std::move(text));
}
Result<Value> Items(In& in, const Value& v, Arguments&) {
  if (v.undefined()) return in.MakeList({});
  if (!v.dict() || v.members()->is_namespace) {
    return in.Bad(fmt::format("items of a {}", v.TypeName()));
  }
  std::vector<Value> pairs;
  for (const auto& [key, member] : v.members()->members) {
    pairs.push_back(TRY(in.MakeList({key, member}, true)));
  }
  return in.MakeList(std::move(pairs));
}
Result<Value> Reverse(In& in, const Value& v, Arguments&) {
  std::vector<Value> items = TRY(in.Iterate(v));
  std::reverse(items.begin(), items.end());
  if (!v.string()) return in.MakeList(std::move(items));
  std::string text;
  for (const Value& item : items) text += item.text();
  return in.Text(std::move(text));
}

// What values are compared by: letters without their case, unless asked
// otherwise.
Value SortKey(const Value& v, bool case_sensitive) {
  if (case_sensitive || !v.string()) return v;
  std::string lower;
  for (const char c : v.text()) lower += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return Value::String(std::move(lower));
}
// Sorts (key, item) pairs by key, stably; an error where two keys have no
// order.
Status SortByKey(In& in, std::vector<std::pair<Value, Value>>& pairs, bool reverse) {
  bool comparable = true;
  TRY(in.Charge(pairs.size() * 64));
  const auto less = [&](const auto& a, const auto& b) {
    const std::optional<int> order = Order(a.first, b.first);
    comparable &= order.has_value();
    return reverse ? order.value_or(0) > 0 : order.value_or(0) < 0;
  };
  // Values of mixed kinds have no order; std::sort must not see a comparison
  // that contradicts itself, so this is settled first.
  for (size_t i = 1; i < pairs.size() && comparable; ++i) (void)less(pairs[0], pairs[i]);
  if (comparable) std::stable_sort(pairs.begin(), pairs.end(), less);
  if (!comparable) return in.Bad("values of different kinds cannot be sorted");
  return {};
}
Result<Value> Sort(In& in, const Value& v, Arguments& a) {
  const Value* attribute = Given(a, 2, "attribute");
  std::vector<std::pair<Value, Value>> pairs;
  for (const Value& item : TRY(in.Iterate(v))) {
    const Value key = attribute != nullptr ? TRY(Attribute(in, item, *attribute)) : item;
    pairs.emplace_back(SortKey(key, Flag(a, 1, "case_sensitive")), item);
  }
  TRY(SortByKey(in, pairs, Flag(a, 0, "reverse")));
  std::vector<Value> items;
  for (auto& [key, item] : pairs) items.push_back(std::move(item));
  return in.MakeList(std::move(items));
}
Result<Value> DictSort(In& in, const Value& v, Arguments& a) {
  if (!v.dict() || v.members()->is_namespace) return in.Bad("dictsort of what is no dict");
  const Value* by = Given(a, 1, "by");
  const bool by_value = by != nullptr && ToText(*by) == "value";
  std::vector<std::pair<Value, Value>> pairs;
  for (const auto& [key, member] : v.members()->members) {
    pairs.emplace_back(SortKey(by_value ? member : key, Flag(a, 0, "case_sensitive")),
                       TRY(in.MakeList({key, member}, true)));
  }
  TRY(SortByKey(in, pairs, Flag(a, 2, "reverse")));
  std::vector<Value> items;
  for (auto& [key, item] : pairs) items.push_back(std::move(item));
  return in.MakeList(std::move(items));
}
Result<Value> GroupBy(In& in, const Value& v, Arguments& a) {
  const Value* attribute = Given(a, 0, "attribute");
  if (attribute == nullptr) return in.Bad("groupby needs an attribute");
  std::vector<std::pair<Value, Value>> pairs;
  for (const Value& item : TRY(in.Iterate(v))) {
    pairs.emplace_back(SortKey(TRY(Attribute(in, item, *attribute)), false), item);
  }
  TRY(SortByKey(in, pairs, false));
  std::vector<Value> groups;
  for (size_t i = 0; i < pairs.size();) {
    size_t k = i;
    std::vector<Value> group;
    for (; k < pairs.size() && Equal(pairs[k].first, pairs[i].first); ++k) {
      group.push_back(pairs[k].second);
    }
    const Value key = TRY(Attribute(in, pairs[i].second, *attribute));
    const Value members = TRY(in.MakeList(std::move(group)));
    groups.push_back(TRY(in.MakeList({key, members}, true)));
    i = k;
  }
  return in.MakeList(std::move(groups));
}
Result<Value> Unique(In& in, const Value& v, Arguments& a) {
  const Value* attribute = Given(a, 1, "attribute");
  std::vector<Value> keys, items;
  for (const Value& item : TRY(in.Iterate(v))) {
    const Value key = SortKey(attribute != nullptr ? TRY(Attribute(in, item, *attribute)) : item,
                              Flag(a, 0, "case_sensitive"));
    TRY(in.Charge(keys.size()));  // the search is the cost
    if (std::any_of(keys.begin(), keys.end(), [&](const Value& k) { return Equal(k, key); })) {
      continue;
    }
    keys.push_back(key);
    items.push_back(item);
  }
  return in.MakeList(std::move(items));
}
template <int kSign>
Result<Value> Extreme(In& in, const Value& v, Arguments& a) {
  const Value* attribute = Given(a, 1, "attribute");
  Value best = Value::Missing("the extreme of nothing"), best_key;
  bool any = false;
  for (const Value& item : TRY(in.Iterate(v))) {
    const Value key = SortKey(attribute != nullptr ? TRY(Attribute(in, item, *attribute)) : item,
                              Flag(a, 0, "case_sensitive"));
    const std::optional<int> order = any ? Order(key, best_key) : std::optional(kSign);
    if (!order) return in.Bad("values of different kinds cannot be compared");
    if (*order * kSign > 0) {
      best = item;
      best_key = key;
    }
    any = true;
  }
  return best;
}
Result<Value> Sum(In& in, const Value& v, Arguments& a) {
  const Value* attribute = Given(a, 0, "attribute");
  const Value* start = Given(a, 1, "start");
  Value sum = start != nullptr ? *start : Value::Int(0);
  for (const Value& item : TRY(in.Iterate(v))) {
    const Value one =
        attribute != nullptr && !attribute->none() ? TRY(Attribute(in, item, *attribute))
                          : item;
                          sum = TRY(in.Binary("+", sum, one));
  }
  return sum;
}
Result<Value> Batch(In& in, const Value& v, Arguments& a) {
  const int64_t size = TRY(IntArgument(in, a, 0, "linecount", 0));
  if (size <= 0) return in.Bad("batch needs a count above 0");
  const Value* fill = Given(a, 1, "fill_with");
  std::vector<Value> rows, row;
  for (const Value& item : TRY(in.Iterate(v))) {
    if (static_cast<int64_t>(row.size()) == size) {
      rows.push_back(TRY(in.MakeList(std::move(row))));
      row.clear();
    }
    row.push_back(item);
  }
  if (!row.empty()) {
    if (fill != nullptr) {
      TRY(in.Charge(static_cast<size_t>(std::min<int64_t>(size, 1 << 30)) * 64));
      row.resize(static_cast<size_t>(size), *fill);
    }
    rows.push_back(TRY(in.MakeList(std::move(row))));
  }
  return in.MakeList(std::move(rows));
}

Result<Value> Map(In& in, const Value& v, Arguments& a) {
  std::vector<Value> out;
  const Value* attribute = nullptr;
  for (const auto& [name, value] : a.named) {
    if (name == "attribute") attribute = &value;
  }
  if (attribute == nullptr && (a.positional.empty() || !a.positional[0].string())) {
    return in.Bad("map needs a filter's name or attribute=");
  }
  const Value* otherwise = Given(a, SIZE_MAX, "default");
  for (const Value& item : TRY(in.Iterate(v))) {
    if (attribute != nullptr) {
      out.push_back(TRY(Attribute(in, item, *attribute, otherwise)));
    } else {
      Arguments rest = Behind(a, 1);
      out.push_back(TRY(in.Filter(a.positional[0].text(), item, rest)));
    }
  }
  return in.MakeList(std::move(out));
}
// select, reject, selectattr, rejectattr
template <bool kAttribute, bool kKeep>
Result<Value> Select(In& in, const Value& v, Arguments& a) {
  constexpr size_t kAt = kAttribute ? 1 : 0;
  if (kAttribute && a.positional.empty()) return in.Bad("an attribute's name is needed");
  const Value* test = a.positional.size() > kAt ? &a.positional[kAt] : nullptr;
  if (test != nullptr && !test->string()) return in.Bad("a test's name is a string");
  std::vector<Value> out;
  for (const Value& item : TRY(in.Iterate(v))) {
    const Value subject = kAttribute ? TRY(Attribute(in, item, a.positional[0])) : item;
    bool passes = subject.Truthy();
    if (test != nullptr) {
      Arguments rest = Behind(a, kAt + 1);
      passes = TRY(in.Test(test->text(), subject, rest));
    }
    if (passes == kKeep) out.push_back(item);
  }
  return in.MakeList(std::move(out));
}

Result<Value> ToInt(In& in, const Value& v, Arguments& a) {
  const Value* given = Given(a, 0, "default");
  const Value otherwise = given != nullptr ? *given : Value::Int(0);
  const int64_t base = TRY(IntArgument(in, a, 1, "base", 10));
  if (v.integer()) return Value::Int(v.int_value());
  if (v.Is(Kind::kFloat)) {
    const double d = std::trunc(v.number_value());
    if (!(std::abs(d) < 9.2e18)) return otherwise;
    return Value::Int(static_cast<int64_t>(d));
  }
  if (!v.string() || base < 2 || base > 36) return otherwise;
  std::string text;
  for (const char c : v.text()) {
    if (c != '_' && c != ' ' && c != '\n' && c != '\t') text += c;
  }
  if (text.empty()) return otherwise;
  char* end = nullptr;
  errno = 0;
  const char* begin = text.c_str();
  const bool prefix =
      text.size() > 2 && text[0] == '0' &&
      ((base == 16 && (text[1] | 32) == 'x') || (base == 2 && (text[1] | 32) == 'b') ||
       (base == 8 && (text[1] | 32) == 'o'));
  if (prefix) begin += 2;
  const long long number = std::strtoll(begin, &end, static_cast<int>(base));
  if (*end == '\0' && errno == 0) return Value::Int(number);
  const double d = std::strtod(text.c_str(), &end);
  if (*end == '\0' && base == 10 && std::abs(d) < 9.2e18)
    return Value::Int(static_cast<int64_t>(d));
  return otherwise;
}
Result<Value> ToFloat(In&, const Value& v, Arguments& a) {
  const Value* given = Given(a, 0, "default");
  const Value otherwise = given != nullptr ? *given : Value::Float(0);
  if (v.number()) return Value::Float(v.number_value());
  if (!v.string() || v.text().empty()) return otherwise;
  char* end = nullptr;
  const double d = std::strtod(v.text().c_str(), &end);
  while (*end == ' ' || *end == '\n') ++end;
  return *end == '\0' ? Value::Float(d) : otherwise;
}
Result<Value> Abs(In& in, const Value& v, Arguments&) {
  if (v.integer()) {
    if (v.int_value() == INT64_MIN) return in.Bad("a number beyond 64 bits");
    return Value::Int(std::abs(v.int_value()));
  }
  if (v.number()) return Value::Float(std::abs(v.number_value()));
  return in.Bad(fmt::format("abs of a {}", v.TypeName()));
}
Result<Value> Round(In& in, const Value& v, Arguments& a) {
  if (!v.number()) return in.Bad(fmt::format("round of a {}", v.TypeName()));
  const int64_t digits = std::clamp<int64_t>(TRY(IntArgument(in, a, 0, "precision", 0)), -300, 300);
  const Value* method = Given(a, 1, "method");
  const std::string how = method != nullptr ? ToText(*method) : "common";
  const double scale = std::pow(10.0, static_cast<double>(digits));
  const double x = v.number_value();
  if (how == "ceil") return Value::Float(std::ceil(x * scale) / scale);
  if (how == "floor") return Value::Float(std::floor(x * scale) / scale);
  if (how != "common") return in.Bad("round knows common, ceil and floor");
  if (digits >= 0 && digits <= 30) {  // to the nearest decimal, as Python rounds
    return Value::Float(
        std::strtod(fmt::format("{:.{}f}", x, static_cast<int>(digits)).c_str(), nullptr));
  }
  return Value::Float(std::nearbyint(x * scale) / scale);
}
Result<Value> AttributeFilter(In& in, const Value& v, Arguments& a) {
  if (a.positional.empty() || !a.positional[0].string()) return in.Bad("attr needs a name");
  return in.Attribute(v, a.positional[0].text());
}

Result<Value> JsonFilter(In& in, const Value& v, Arguments& a) {
  JsonStyle style;
  // As transformers has it: tojson(ensure_ascii=False, indent=None,
  // separators=None, sort_keys=False)
  style.ascii = Flag(a, SIZE_MAX, "ensure_ascii");
  style.sort_keys = Flag(a, SIZE_MAX, "sort_keys");
  const Value* indent = Given(a, 0, "indent");
  if (indent != nullptr && !indent->none()) {
    if (!indent->integer() || indent->int_value() < 0 || indent->int_value() > 100) {
      return in.Bad("tojson: indent is a number from 0 to 100");
    }
    style.indent = static_cast<int>(indent->int_value());
  }
  const Value* separators = Given(a, SIZE_MAX, "separators");
  if (separators != nullptr && separators->list() && separators->items().items.size() == 2) {
    style.item_separator = ToText(separators->items().items[0]);
    style.key_separator = ToText(separators->items().items[1]);
  }
  std::string text;
  if (!ToJson(v, style, text)) {
    return in.Bad(v.undefined() ? fmt::format("tojson of {}, which is undefined", v.missing_name())
                                : "tojson of a value that JSON does not have");
  }
  return in.Text(std::move(text));
}

const Value* One(Arguments& a) { return a.positional.empty() ? nullptr : &a.positional[0]; }

template <size_t kOp>
Result<bool> Comparison(In& in, const Value& v, Arguments& a) {
  const Value* other = One(a);
  if (other == nullptr) return in.Bad("this test needs a value to compare with");
  constexpr std::string_view kOps[] = {"==", "!=", "<", "<=", ">", ">="};
  return in.Compare(kOps[kOp], v, *other);
}
Result<bool> DivisibleBy(In& in, const Value& v, Arguments& a) {
  const Value* by = One(a);
  if (by == nullptr || !by->integer() || by->int_value() == 0 || !v.integer()) {
    return in.Bad("divisibleby needs integers");
  }
  return by->int_value() == -1 || v.int_value() % by->int_value() == 0;
}
Result<bool> IsIn(In& in, const Value& v, Arguments& a) {
  const Value* where = One(a);
  if (where == nullptr) return in.Bad("this test needs a value to look in");
  return in.Contains(*where, v);
}
Result<bool> SameAs(In&, const Value& v, Arguments& a) {
  const Value* other = One(a);
  if (other == nullptr || v.kind() != other->kind()) return false;
  if (v.list() || v.dict() || v.Is(Kind::kCallable)) return v.identity() == other->identity();
  return Equal(v, *other);
}
bool HasCase(const Value& v, bool upper) {
  if (!v.string()) return false;
  bool any = false;
  for (const char c : v.text()) {
    if (upper ? c >= 'a' && c <= 'z' : c >= 'A' && c <= 'Z') return false;
    any |= upper ? c >= 'A' && c <= 'Z' : c >= 'a' && c <= 'z';
  }
  return any;
}

Value Function(std::string name, std::function<Result<Value>(Interpreter&, Arguments&)> call) {
  auto made = std::make_shared<Callable>();
  made->name = std::move(name);
  made->call = std::move(call);
  return Value::Of(std::shared_ptr<const Callable>(std::move(made)));
}

Result<Value> Range(In& in, Arguments& a) {
  int64_t bounds[3] = {0, 0, 1};
  const size_t n = a.positional.size();
  if (n < 1 || n > 3) return in.Bad("range needs one to three integers");
  for (size_t i = 0; i < n; ++i) {
    if (!a.positional[i].integer()) return in.Bad("range needs integers");
    bounds[n == 1 ? 1 : i] = a.positional[i].int_value();
  }
  if (bounds[2] == 0) return in.Bad("range with a step of 0");
  std::vector<Value> items;
  for (int64_t i = bounds[0]; bounds[2] > 0 ? i < bounds[1] : i > bounds[1];) {
    items.push_back(Value::Int(i));
    if (items.size() > kMaxRange) return in.Bad(fmt::format("a range of more than {}", kMaxRange));
    if (__builtin_add_overflow(i, bounds[2], &i)) break;
  }
  return in.MakeList(std::move(items));
}

}  // namespace

FilterFunction FindFilter(std::string_view name) {
  static const std::map<std::string_view, FilterFunction> kFilters = {
      {"abs", Abs},
      {"attr", AttributeFilter},
      {"batch", Batch},
      {"count", Length},
      {"d", Default},
      {"default", Default},
      {"dictsort", DictSort},
      {"first", First},
      {"float", ToFloat},
      {"groupby", GroupBy},
      {"int", ToInt},
      {"items", Items},
      {"join", Join},
      {"last", Last},
      {"length", Length},
      {"list", ListOf},
      {"map", Map},
      {"max", Extreme<1>},
      {"min", Extreme<-1>},
      {"reject", Select<false, false>},
      {"rejectattr", Select<true, false>},
      {"reverse", Reverse},
      {"round", Round},
      {"select", Select<false, true>},
      {"selectattr", Select<true, true>},
      {"sort", Sort},
      {"sum", Sum},
      {"tojson", JsonFilter},
      {"unique", Unique},
  };
  const auto it = kFilters.find(name);
  return it == kFilters.end() ? nullptr : it->second;
}

TestFunction FindTest(std::string_view name) {
  using V = const Value&;
  static const std::map<std::string_view, TestFunction> kTests = {
      {"defined", [](In&, V v, Arguments&) -> Result<bool> { return !v.undefined(); }},
      {"undefined", [](In&, V v, Arguments&) -> Result<bool> { return v.undefined(); }},
      {"none", [](In&, V v, Arguments&) -> Result<bool> { return v.none(); }},
      {"boolean", [](In&, V v, Arguments&) -> Result<bool> { return v.Is(Kind::kBool); }},
      {"true",
       [](In&, V v, Arguments&) -> Result<bool> { return v.Is(Kind::kBool) && v.bool_value(); }},
      {"false",
       [](In&, V v, Arguments&) -> Result<bool> { return v.Is(Kind::kBool) && !v.bool_value(); }},
      {"integer", [](In&, V v, Arguments&) -> Result<bool> { return v.Is(Kind::kInt); }},
      {"float", [](In&, V v, Arguments&) -> Result<bool> { return v.Is(Kind::kFloat); }},
      {"number", [](In&, V v, Arguments&) -> Result<bool> { return v.number(); }},
      {"string", [](In&, V v, Arguments&) -> Result<bool> { return v.string(); }},
      {"mapping",
       [](In&, V v, Arguments&) -> Result<bool> { return v.dict() && !v.members()->is_namespace; }},
      {"sequence",
       [](In&, V v, Arguments&) -> Result<bool> {
         return v.list() || v.string() || v.undefined() || (v.dict() && !v.members()->is_namespace);
       }},
      {"iterable",
       [](In&, V v, Arguments&) -> Result<bool> {
         return v.list() || v.string() || v.undefined() || (v.dict() && !v.members()->is_namespace);
       }},
      {"callable", [](In&, V v, Arguments&) -> Result<bool> { return v.Is(Kind::kCallable); }},
      {"even",
       [](In& in, V v, Arguments&) -> Result<bool> {
         if (!v.integer()) return in.Bad("even is of integers");
         return v.int_value() % 2 == 0;
       }},
      {"odd",
       [](In& in, V v, Arguments&) -> Result<bool> {
         if (!v.integer()) return in.Bad("odd is of integers");
         return v.int_value() % 2 != 0;
       }},
      {"lower", [](In&, V v, Arguments&) -> Result<bool> { return HasCase(v, false); }},
      {"upper", [](In&, V v, Arguments&) -> Result<bool> { return HasCase(v, true); }},
      {"divisibleby", DivisibleBy},
      {"in", IsIn},
      {"sameas", SameAs},
      {"eq", Comparison<0>},
      {"equalto", Comparison<0>},
      {"==", Comparison<0>},
      {"ne", Comparison<1>},
      {"!=", Comparison<1>},
      {"lt", Comparison<2>},
      {"lessthan", Comparison<2>},
      {"<", Comparison<2>},
      {"le", Comparison<3>},
      {"<=", Comparison<3>},
      {"gt", Comparison<4>},
      {"greaterthan", Comparison<4>},
      {">", Comparison<4>},
      {"ge", Comparison<5>},
      {">=", Comparison<5>},
  };
  const auto it = kTests.find(name);
  return it == kTests.end() ? nullptr : it->second;
}

std::map<std::string, Value, std::less<>> Globals() {
  std::map<std::string, Value, std::less<>> names;
  names["range"] = Function("range", Range);
  names["raise_exception"] = Function("raise_exception", [](In& in, Arguments& a) -> Result<Value> {
    return in.Bad(a.positional.empty() ? "the template refuses these messages"
                                       : ToText(a.positional[0]));
  });
  names["strftime_now"] = Function("strftime_now", [](In& in, Arguments& a) -> Result<Value> {
    if (a.positional.empty() || !a.positional[0].string())
      return in.Bad("strftime_now needs a format");
    return in.Text(FormatTime(a.positional[0].text(), in.options().now_s));
  });
  names["dict"] = Function("dict", [](In& in, Arguments& a) -> Result<Value> {
    std::vector<std::pair<Value, Value>> members;
    if (!a.positional.empty()) {
      if (!a.positional[0].dict()) return in.Bad("dict of what is no dict");
      members = a.positional[0].members()->members;
    }
    for (auto& [name, value] : a.named) members.emplace_back(Value::String(name), value);
    return in.MakeDict(std::move(members));
  });
  names["namespace"] = Function("namespace", [](In& in, Arguments& a) -> Result<Value> {
    Dict members;
    if (!a.positional.empty()) {
      if (!a.positional[0].dict()) return in.Bad("namespace of what is no dict");
      members = *a.positional[0].members();
    }
    for (auto& [name, value] : a.named) members.Set(Value::String(name), value);
    TRY(in.Charge(members.members.size() * 128 + 256));
    return in.MakeNamespace(std::move(members));
  });
  names["joiner"] = Function("joiner", [](In&, Arguments& a) -> Result<Value> {
    const Value* between = Given(a, 0, "sep");
    const Value text = between != nullptr ? *between : Value::String(", ");
    return Function("joiner",
                    [text, used = std::make_shared<bool>(false)](In&, Arguments&) -> Result<Value> {
                      if (std::exchange(*used, true)) return text;
                      return Value::String("");
                    });
  });
  return names;
}

}  // namespace weir::templates
