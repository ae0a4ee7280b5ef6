#include "engine/template/value.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

namespace weir::templates {
namespace {

constexpr size_t kIndexed = 16;  // members from which a dict keeps an index

// The code point of one character as Characters() cuts them; -1: not UTF-8.
int32_t CodeOf(std::string_view c) {
  const auto b = [&](size_t i) { return static_cast<int32_t>(static_cast<uint8_t>(c[i])); };
  switch (c.size()) {
    case 1:
      return b(0) < 0x80 ? b(0) : -1;
    case 2:
      return (b(0) & 0x1F) << 6 | (b(1) & 0x3F);
    case 3:
      return (b(0) & 0x0F) << 12 | (b(1) & 0x3F) << 6 | (b(2) & 0x3F);
    default:
      return (b(0) & 0x07) << 18 | (b(1) & 0x3F) << 12 | (b(2) & 0x3F) << 6 | (b(3) & 0x3F);
  }
}

size_t CharacterSize(std::string_view text, size_t i) {
  const auto b = static_cast<uint8_t>(text[i]);
  size_t size = b < 0x80 ? 1 : b >= 0xF0 ? 4 : b >= 0xE0 ? 3 : b >= 0xC2 ? 2 : 1;
  if (size > text.size() - i) return 1;
  for (size_t k = 1; k < size; ++k) {
    if ((static_cast<uint8_t>(text[i + k]) & 0xC0) != 0x80) return 1;
  }
  return size;
}

std::string Quoted(std::string_view text) {  // repr() of a string
  const bool has_single = text.find('\'') != text.npos, has_double = text.find('"') != text.npos;
  const char quote = has_single && !has_double ? '"' : '\'';
  std::string out(1, quote);
  for (const std::string_view c : Characters(text)) {
    const int32_t code = CodeOf(c);
    if (c[0] == quote || c[0] == '\\') {
      out += '\\';
      out += c;
    } else if (c == "\n") {
      out += "\\n";
    } else if (c == "\r") {
      out += "\\r";
    } else if (c == "\t") {
      out += "\\t";
    } else if (code < 0x20 || code == 0x7F || (code >= 0x80 && code <= 0xA0) || code == 0xAD) {
      out += fmt::format("\\x{:02x}", code < 0 ? static_cast<uint8_t>(c[0]) : code);
    } else {
      out += c;
    }
  }
  return out + quote;
}

void JsonString(std::string_view text, bool ascii, std::string& out) {
  out += '"';
  for (const std::string_view c : Characters(text)) {
    const int32_t code = CodeOf(c);
    switch (code) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\f':
        out += "\\f";
        break;
      case '\b':
        out += "\\b";
        break;
      case -1:
        out += "\xEF\xBF\xBD";
        break;
      default:
        if (code < 0x20) {
          out += fmt::format("\\u{:04x}", code);
        } else if (ascii && code > 0xFFFF) {
          out += fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + ((code - 0x10000) >> 10),
                             0xDC00 + ((code - 0x10000) & 0x3FF));
        } else if (ascii && code > 0x7E) {
          out += fmt::format("\\u{:04x}", code);
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

}  // namespace

bool IsAscii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<int8_t>(c) >= 0; });
}

std::vector<std::string_view> Characters(std::string_view text) {
  std::vector<std::string_view> out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const size_t size = CharacterSize(text, i);
    out.push_back(text.substr(i, size));
    i += size;
  }
  return out;
}

size_t CountCharacters(std::string_view text) {
  size_t n = 0;
  for (size_t i = 0; i < text.size(); ++n) i += CharacterSize(text, i);
  return n;
}

bool IsSpaceCharacter(std::string_view c) {
  const int32_t code = CodeOf(c);
  return (code >= 9 && code <= 13) || (code >= 28 && code <= 32) || code == 0x85 || code == 0xA0 ||
         code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 || code == 0x2029 ||
         code == 0x202F || code == 0x205F || code == 0x3000;
}

const void* Value::identity() const {
  switch (kind()) {
    case Kind::kString:
      return std::get<Text>(v_).get();
    case Kind::kList:
      return &items();
    case Kind::kDict:
      return members().get();
    case Kind::kCallable:
      return &callable();
    default:
      return nullptr;
  }
}

bool Value::Truthy() const {
  switch (kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
      return bool_value();
    case Kind::kInt:
      return int_value() != 0;
    case Kind::kFloat:
      return number_value() != 0;
    case Kind::kString:
      return !text().empty();
    case Kind::kList:
      return !items().items.empty();
    case Kind::kDict:
      return members()->is_namespace || !members()->members.empty();
    case Kind::kCallable:
      return true;
  }
  return false;
}

int Value::depth() const { return list() ? items().depth : dict() ? members()->depth : 0; }

std::string_view Value::TypeName() const {
  switch (kind()) {
    case Kind::kUndefined:
      return "undefined";
    case Kind::kNone:
      return "NoneType";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kString:
      return "str";
    case Kind::kList:
      return items().tuple ? "tuple" : "list";
    case Kind::kDict:
      return members()->is_namespace ? "namespace" : "dict";
    case Kind::kCallable:
      return "function";
  }
  return "";
}

const Value* Dict::Find(std::string_view key) const {
  if (!index_.empty()) {
    const auto it = index_.find(std::string(key));
    return it == index_.end() ? nullptr : &members[it->second].second;
  }
  for (const auto& [k, v] : members) {
    if (k.string() && k.text() == key) return &v;
  }
  return nullptr;
}

const Value* Dict::Find(const Value& key) const {
  if (key.string()) return Find(std::string_view(key.text()));
  for (const auto& [k, v] : members) {
    if (Equal(k, key)) return &v;
  }
  return nullptr;
}

void Dict::Set(Value key, Value value) {
  if (Value* found = const_cast<Value*>(Find(key)); found != nullptr) {
    *found = std::move(value);
    return;
  }
  if (key.string() && !index_.empty()) index_.emplace(key.text(), members.size());
  members.emplace_back(std::move(key), std::move(value));
  if (members.size() == kIndexed) {
    for (size_t i = 0; i < members.size(); ++i) {
      if (members[i].first.string()) index_.emplace(members[i].first.text(), i);
    }
  }
}

bool Equal(const Value& a, const Value& b) {
  using Kind = Value::Kind;
  if (a.number() && b.number()) {
    if (a.integer() && b.integer()) return a.int_value() == b.int_value();
    return a.number_value() == b.number_value();
  }
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return true;
    case Kind::kString:
      return a.text() == b.text();
    case Kind::kList: {
      const List &x = a.items(), &y = b.items();
      return x.tuple == y.tuple && x.items.size() == y.items.size() &&
             std::equal(x.items.begin(), x.items.end(), y.items.begin(), Equal);
    }
    case Kind::kDict: {
      const Dict &x = *a.members(), &y = *b.members();
      if (&x == &y) return true;
      if (x.is_namespace || y.is_namespace || x.members.size() != y.members.size()) return false;
      return std::all_of(x.members.begin(), x.members.end(), [&](const auto& m) {
        const Value* other = y.Find(m.first);
        return other != nullptr && Equal(m.second, *other);
      });
    }
    case Kind::kCallable:
      return a.identity() == b.identity();
    default:
      return false;
  }
}

std::optional<int> Order(const Value& a, const Value& b) {
  const auto sign = [](auto x, auto y) { return x < y ? -1 : y < x ? 1 : 0; };
  if (a.number() && b.number()) {
    if (a.integer() && b.integer()) return sign(a.int_value(), b.int_value());
    return sign(a.number_value(), b.number_value());
  }
  if (a.string() && b.string()) {
    const int order = a.text().compare(b.text());  // by bytes is by code points in UTF-8
    return sign(order, 0);
  }
  if (a.list() && b.list()) {
    const auto &x = a.items().items, &y = b.items().items;
    for (size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
      if (Equal(x[i], y[i])) continue;
      return Order(x[i], y[i]);
    }
    return sign(x.size(), y.size());
  }
  return std::nullopt;
}

std::string FloatText(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[64];
  const auto end =
      std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific).ptr;
  const std::string_view text(buffer, static_cast<size_t>(end - buffer));
  const size_t e = text.find('e');
  const int exponent = std::atoi(std::string(text.substr(e + 1)).c_str());
  std::string digits;
  for (const char c : text.substr(0, e)) {
    if (c >= '0' && c <= '9') digits += c;
  }
  const std::string sign = text[0] == '-' ? "-" : "";
  if (exponent < -4 || exponent >= 16) {
    std::string mantissa = digits.substr(0, 1);
    if (digits.size() > 1) mantissa += "." + digits.substr(1);
    return fmt::format("{}{}e{}{:02d}", sign, mantissa, exponent < 0 ? '-' : '+',
                       std::abs(exponent));
  }
  if (exponent < 0) {
    return sign + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  }
  const auto whole = static_cast<size_t>(exponent) + 1;
  if (digits.size() <= whole) return sign + digits + std::string(whole - digits.size(), '0') + ".0";
  return sign + digits.substr(0, whole) + "." + digits.substr(whole);
}

std::string ToText(const Value& value) {
  if (value.string()) return value.text();
  if (value.undefined()) return "";
  return ToRepr(value);
}

std::string ToRepr(const Value& value) {
  using Kind = Value::Kind;
  switch (value.kind()) {
    case Kind::kUndefined:
      return "Undefined";
    case Kind::kNone:
      return "None";
    case Kind::kBool:
      return value.bool_value() ? "True" : "False";
    case Kind::kInt:
      return fmt::format("{}", value.int_value());
    case Kind::kFloat:
      return FloatText(value.number_value());
    case Kind::kString:
      return Quoted(value.text());
    case Kind::kList: {
      const List& list = value.items();
      std::string out(1, list.tuple ? '(' : '[');
      for (size_t i = 0; i < list.items.size(); ++i) {
        if (i > 0) out += ", ";
        out += ToRepr(list.items[i]);
      }
      if (list.tuple && list.items.size() == 1) out += ',';
      return out + (list.tuple ? ')' : ']');
    }
    case Kind::kDict: {
      if (value.members()->is_namespace) return "<namespace>";
      std::string out = "{";
      for (const auto& [key, member] : value.members()->members) {
        if (out.size() > 1) out += ", ";
        out += ToRepr(key) + ": " + ToRepr(member);
      }
      return out + "}";
    }
    case Kind::kCallable:
      return "<function " + value.callable().name + ">";
  }
  return "";
}

bool ToJson(const Value& value, const JsonStyle& style, std::string& out, int level) {
  using Kind = Value::Kind;
  const auto line = [&](int at) {
    if (!style.indent) return;
    out += '\n';
    out.append(static_cast<size_t>(*style.indent) * static_cast<size_t>(at), ' ');
  };
  const std::string_view comma =
      style.indent && style.item_separator == ", " ? std::string_view(",") : style.item_separator;
  switch (value.kind()) {
    case Kind::kNone:
      out += "null";
      return true;
    case Kind::kBool:
      out += value.bool_value() ? "true" : "false";
      return true;
    case Kind::kFloat: {
      const double d = value.number_value();
      out += std::isnan(d)   ? "NaN"
             : std::isinf(d) ? (d < 0 ? "-Infinity" : "Infinity")
                             : FloatText(d);
      return true;
    }
    case Kind::kInt:
      out += fmt::format("{}", value.int_value());
      return true;
    case Kind::kString:
      JsonString(value.text(), style.ascii, out);
      return true;
    case Kind::kList: {
      out += '[';
      bool first = true;
      for (const Value& item : value.items().items) {
        if (!first) out += comma;
        first = false;
        line(level + 1);
        if (!ToJson(item, style, out, level + 1)) return false;
      }
      if (!first) line(level);
      out += ']';
      return true;
    }
    case Kind::kDict: {
      if (value.members()->is_namespace) return false;
      std::vector<std::pair<Value, Value>> members = value.members()->members;
      if (style.sort_keys) {
        std::stable_sort(members.begin(), members.end(), [](const auto& a, const auto& b) {
          return ToText(a.first) < ToText(b.first);
        });
      }
      out += '{';
      bool first = true;
      for (const auto& [key, member] : members) {
        if (!first) out += comma;
        first = false;
        line(level + 1);
        if (key.string()) {
          JsonString(key.text(), style.ascii, out);
        } else {
          std::string name;
          if (!ToJson(key, style, name)) return false;
          JsonString(name, style.ascii, out);
        }
        out += style.key_separator;
        if (!ToJson(member, style, out, level + 1)) return false;
      }
      if (!first) line(level);
      out += '}';
      return true;
    }
    default:
      return false;
  }
}

Result<Value> FromJson(const nlohmann::ordered_json& json, int depth) {
  if (depth >= kMaxValueDepth) {
    return Error(Code::kTooLarge, fmt::format("a value nested more than {} deep", kMaxValueDepth));
  }
  switch (json.type()) {
    case nlohmann::ordered_json::value_t::null:
      return Value::Nothing();
    case nlohmann::ordered_json::value_t::boolean:
      return Value::Bool(json.get<bool>());
    case nlohmann::ordered_json::value_t::number_integer:
      return Value::Int(json.get<int64_t>());
    case nlohmann::ordered_json::value_t::number_unsigned:
      if (json.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) {
        return Value::Float(json.get<double>());
      }
      return Value::Int(json.get<int64_t>());
    case nlohmann::ordered_json::value_t::number_float:
      return Value::Float(json.get<double>());
    case nlohmann::ordered_json::value_t::string:
      return Value::String(json.get<std::string>());
    case nlohmann::ordered_json::value_t::array: {
      auto list = std::make_shared<List>();
      for (const auto& item : json) {
        list->items.push_back(TRY(FromJson(item, depth + 1)));
        list->depth = std::max(list->depth, 1 + list->items.back().depth());
      }
      return Value::Of(std::shared_ptr<const List>(std::move(list)));
    }
    case nlohmann::ordered_json::value_t::object: {
      auto dict = std::make_shared<Dict>();
      for (const auto& [key, member] : json.items()) {
        Value value = TRY(FromJson(member, depth + 1));
        dict->depth = std::max(dict->depth, 1 + value.depth());
        dict->Set(Value::String(key), std::move(value));
      }
      return Value::Of(std::move(dict));
    }
    default:
      return Error(Code::kInvalidArgument, "a value that is no JSON");
  }
}

}  // namespace weir::templates
