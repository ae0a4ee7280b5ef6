// The values of a template: those of Python that Jinja has, as far as templates
// can see them.
//
// Copying is cheap (what is large is shared) and nothing can be changed after
// it is made, but for namespaces. Lists and dicts know their depth, so nothing
// that walks them can run out of stack.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"

namespace weir::templates {

inline constexpr int kMaxValueDepth = 200;

struct List;
struct Dict;
struct Callable;

class Value {
 public:
  enum class Kind : uint8_t {
    kUndefined,
    kNone,
    kBool,
    kInt,
    kFloat,
    kString,
    kList,
    kDict,
    kCallable
  };
  struct Undefined {
    std::string name;  // of what was looked for, for the error
  };
  struct None {};
  using Text = std::shared_ptr<const std::string>;

  Value() : v_(Undefined{}) {}
  static Value Missing(std::string name) { return Value(V(Undefined{std::move(name)})); }
  static Value Nothing() { return Value(V(None{})); }
  static Value Bool(bool b) { return Value(V(b)); }
  static Value Int(int64_t i) { return Value(V(i)); }
  static Value Float(double d) { return Value(V(d)); }
  static Value String(std::string s) {
    return Value(V(std::make_shared<const std::string>(std::move(s))));
  }
  static Value Of(std::shared_ptr<const List> list) { return Value(V(std::move(list))); }
  static Value Of(std::shared_ptr<Dict> dict) { return Value(V(std::move(dict))); }
  static Value Of(std::shared_ptr<const Callable> c) { return Value(V(std::move(c))); }

  Kind kind() const { return static_cast<Kind>(v_.index()); }
  bool Is(Kind kind) const { return v_.index() == static_cast<size_t>(kind); }
  bool undefined() const { return Is(Kind::kUndefined); }
  bool none() const { return Is(Kind::kNone); }
  bool string() const { return Is(Kind::kString); }
  bool list() const { return Is(Kind::kList); }
  bool dict() const { return Is(Kind::kDict); }
  bool integer() const { return Is(Kind::kInt) || Is(Kind::kBool); }
  bool number() const { return integer() || Is(Kind::kFloat); }

  bool bool_value() const { return std::get<bool>(v_); }
  int64_t int_value() const {
    return Is(Kind::kBool) ? static_cast<int64_t>(bool_value()) : std::get<int64_t>(v_);
  }
  double number_value() const {
    return Is(Kind::kFloat) ? std::get<double>(v_) : static_cast<double>(int_value());
  }
  const std::string& text() const { return *std::get<Text>(v_); }
  const List& items() const { return *std::get<std::shared_ptr<const List>>(v_); }
  const std::shared_ptr<Dict>& members() const { return std::get<std::shared_ptr<Dict>>(v_); }
  const Callable& callable() const { return *std::get<std::shared_ptr<const Callable>>(v_); }
  const std::string& missing_name() const { return std::get<Undefined>(v_).name; }
  const void* identity() const;

  bool Truthy() const;
  int depth() const;
  std::string_view TypeName() const;  // as Python names it

 private:
  using V = std::variant<Undefined, None, bool, int64_t, double, Text, std::shared_ptr<const List>,
                         std::shared_ptr<Dict>, std::shared_ptr<const Callable>>;
  explicit Value(V v) : v_(std::move(v)) {}
  V v_;
};

struct List {
  std::vector<Value> items;
  bool tuple = false;
  int depth = 1;
};

// Keys are strings, numbers, booleans or None, in the order in which they came.
struct Dict {
  std::vector<std::pair<Value, Value>> members;
  bool is_namespace = false;
  int depth = 1;
  const Value* Find(const Value& key) const;
  const Value* Find(std::string_view key) const;
  void Set(Value key, Value value);  // depth is the caller's to check

 private:
  std::unordered_map<std::string, size_t> index_;  // of string keys, once there are many
};

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

class Interpreter;
struct Callable {
  std::string name;
  std::function<Result<Value>(Interpreter&, Arguments&)> call;
};

bool Equal(const Value& a, const Value& b);
// <0, 0, >0; nullopt: these two have no order.
std::optional<int> Order(const Value& a, const Value& b);

std::string ToText(const Value& value);  // str()
std::string ToRepr(const Value& value);  // repr()
struct JsonStyle {
  bool ascii = false, sort_keys = false;
  std::optional<int> indent;
  std::string item_separator = ", ", key_separator = ": ";
};
// json.dumps(). False: a value that JSON does not have.
bool ToJson(const Value& value, const JsonStyle& style, std::string& out, int level = 0);
std::string FloatText(double value);  // as Python's repr()

Result<Value> FromJson(const nlohmann::ordered_json& json, int depth = 0);

// Text by characters. Bytes that are not UTF-8 count as one each.
std::vector<std::string_view> Characters(std::string_view text);
std::vector<std::string_view> Characters(std::string&& text) = delete;  // would dangle
size_t CountCharacters(std::string_view text);
bool IsAscii(std::string_view text);
bool IsSpaceCharacter(std::string_view character);

}  // namespace weir::templates
