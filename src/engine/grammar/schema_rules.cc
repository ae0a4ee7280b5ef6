#include "engine/grammar/schema_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/nearest.h"
#include "base/text.h"
#include "engine/grammar/language.h"
#include "engine/grammar/number_rules.h"
#include "engine/grammar/regex_rules.h"
#include "engine/model/utf8.h"
#include "engine/model/utf8_class.h"

namespace weir::grammar {
namespace {

using Json = nlohmann::ordered_json;
using model::CodeSet;

constexpr int kMaxSchemaDepth = 64;
constexpr size_t kMaxJsonDepth = 300;
constexpr int kMaxMerges = 10000;
constexpr int kMaxProduct = 256;  // alternatives that anyOf of anyOf may become
constexpr int kMaxCount = 20000;  // minItems, maxLength, ...
constexpr int kMaxIndent = 32;    // spaces or tabs behind a line break

constexpr std::string_view kAnnotations[] = {
    "title",           "description", "default", "examples",     "example",
    "$schema",         "$id",         "id",      "$comment",     "deprecated",
    "readOnly",        "writeOnly",   "$defs",   "definitions",  "contentMediaType",
    "contentEncoding", "$vocabulary", "strict",  "discriminator"};  // (says again what the
                                                                    // alternatives' const says)
constexpr std::string_view kConstraints[] = {"type",
                                             "enum",
                                             "const",
                                             "properties",
                                             "required",
                                             "additionalProperties",
                                             "items",
                                             "prefixItems",
                                             "minItems",
                                             "maxItems",
                                             "minLength",
                                             "maxLength",
                                             "pattern",
                                             "format",
                                             "minimum",
                                             "maximum",
                                             "exclusiveMinimum",
                                             "exclusiveMaximum",
                                             "anyOf",
                                             "oneOf",
                                             "allOf",
                                             "$ref",
                                             "nullable",
                                             "multipleOf",
                                             "not",
                                             "propertyNames",
                                             "patternProperties"};

// Formats that say nothing about the characters.
constexpr std::string_view kFreeFormats[] = {"password", "binary", "path", "file-path",
                                             "directory-path"};
// Formats as expressions. Sources: RFC 3339 (dates and times, with the days that months have and
// leap years), RFC 9562 (UUID), RFC 5321 (addresses, the dotted form), RFC 1123 (host names),
// RFC 4291 (IPv6), RFC 3986 (URI), ISO 8601 as RFC 3339 appendix A has it (durations).
#define WEIR_TIME R"(([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d))"
#define WEIR_DATE                                                                               \
  R"((\d{4}-((0[13578]|1[02])-(0[1-9]|[12]\d|3[01])|(0[469]|11)-(0[1-9]|[12]\d|30)|02-(0[1-9])" \
  R"(|1\d|2[0-8]))|(\d\d(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29))"
#define WEIR_LABEL R"([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)"
#define WEIR_OCTET R"((25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d))"
#define WEIR_H16 "[0-9a-fA-F]{1,4}"
constexpr std::pair<std::string_view, std::string_view> kFormats[] = {
    {"date-time", WEIR_DATE "T" WEIR_TIME},
    {"date", WEIR_DATE},
    {"time", WEIR_TIME},
    {"duration", R"(P((\d{1,9}Y(\d{1,9}M(\d{1,9}D)?)?|\d{1,9}M(\d{1,9}D)?|\d{1,9}D))"
                 R"((T(\d{1,9}H(\d{1,9}M(\d{1,9}S)?)?|\d{1,9}M(\d{1,9}S)?|\d{1,9}S))?)"
                 R"(|T(\d{1,9}H(\d{1,9}M(\d{1,9}S)?)?|\d{1,9}M(\d{1,9}S)?|\d{1,9}S)|\d{1,9}W))"},
    {"uuid", R"([0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})"},
    {"uuid4", R"([0-9a-fA-F]{8}-[0-9a-fA-F]{4}-4[0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3})"
              R"(-[0-9a-fA-F]{12})"},
    {"base64", R"(([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?)"},
    {"base64url", R"(([A-Za-z0-9_-]{4})*([A-Za-z0-9_-]{2}(==)?|[A-Za-z0-9_-]{3}=?)?)"},
    {"email",
     R"([A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,64}(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,64})*@)" WEIR_LABEL
     R"((\.)" WEIR_LABEL ")+"},
    {"hostname", WEIR_LABEL R"((\.)" WEIR_LABEL ")*"},
    {"ipv4", WEIR_OCTET R"((\.)" WEIR_OCTET "){3}"},
    {"ipv6", "((" WEIR_H16 ":){7}" WEIR_H16 "|(" WEIR_H16 ":){1,7}:|(" WEIR_H16 ":){1,6}:" WEIR_H16
             "|(" WEIR_H16 ":){1,5}(:" WEIR_H16 "){2}|(" WEIR_H16 ":){1,4}(:" WEIR_H16
             "){1,3}|(" WEIR_H16 ":){1,3}(:" WEIR_H16 "){1,4}|(" WEIR_H16 ":){1,2}(:" WEIR_H16
             "){1,5}|" WEIR_H16 ":(:" WEIR_H16 "){1,6}|:((:" WEIR_H16 "){1,7}|:))"},
    {"uri", R"([A-Za-z][A-Za-z0-9+.-]*:([A-Za-z0-9._~:/?\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+)"
            R"((#([A-Za-z0-9._~:/?@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)?)"},
};

bool IsAnnotation(std::string_view key) {
  return key.starts_with("x-") ||
         std::find(std::begin(kAnnotations), std::end(kAnnotations), key) != std::end(kAnnotations);
}

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

enum Type : uint32_t {
  kNull = 1,
  kBoolean = 2,
  kString = 4,
  kNumber = 8,
  kInteger = 16,
  kArray = 32,
  kObject = 64
};
constexpr uint32_t kAllTypes = kNull | kBoolean | kString | kNumber | kArray | kObject;
constexpr std::pair<std::string_view, uint32_t> kTypeNames[] = {
    {"null", kNull},       {"boolean", kBoolean}, {"string", kString}, {"number", kNumber},
    {"integer", kInteger}, {"array", kArray},     {"object", kObject}};

bool IsIntegral(const Json& value) {
  if (value.is_number_integer()) return true;
  const auto d = value.is_number() ? Decimal::From(Dump(value)) : std::nullopt;
  return d && d->fraction.empty();
}

bool HasType(const Json& value, uint32_t types) {
  if (value.is_null()) return types & kNull;
  if (value.is_boolean()) return types & kBoolean;
  if (value.is_string()) return types & kString;
  if (value.is_array()) return types & kArray;
  if (value.is_object()) return types & kObject;
  return (types & kNumber) || ((types & kInteger) && IsIntegral(value));
}

class SchemaMaker {
 public:
  SchemaMaker(Rules& rules, const SchemaOptions& options) : rules_(rules), options_(options) {}

  Result<NodeId> Whole(std::string_view text) {
    if (text.size() > kMaxSourceBytes) {
      return Error(Code::kTooLarge, fmt::format("a schema of {} bytes; at most {} are taken",
                                                text.size(), kMaxSourceBytes));
    }
    if (MeasureJson(text, kMaxJsonDepth).depth > kMaxJsonDepth) {
      return Error(Code::kTooLarge,
                   fmt::format("the schema is nested more than {} deep", kMaxJsonDepth));
    }
    root_ = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (root_.is_discarded()) return Error(Code::kInvalidArgument, "the schema is no JSON");
    return Of(root_, "", 0);
  }

  NodeId Any(bool object) {
    const RuleId value = ValueRule();
    return object ? rules_.Call(object_rule_) : rules_.Call(value);
  }

 private:
  static Error At(const std::string& path, Code code, std::string_view what) {
    return Error(code, fmt::format("schema {}: {}", path.empty() ? "/" : path, what));
  }
  static Error Bad(const std::string& path, std::string_view what) {
    return At(path, Code::kInvalidArgument, what);
  }
  static Error NotOffered(const std::string& path, std::string_view what) {
    return At(path, Code::kUnimplemented, fmt::format("{} is not offered", what));
  }

  // --- Parts that every schema shares.

  NodeId Space() {  // nothing, one space, or a line break and its indentation
    if (!options_.whitespace) return rules_.Empty();
    if (space_ < 0) {
      const NodeId indent = rules_.Repeat(rules_.Set({{'\t', '\t'}, {' ', ' '}}), 0, kMaxIndent);
      space_ = rules_.Rule("white space",
                           rules_.Choice({rules_.Empty(), rules_.Bytes(" "),
                                          rules_.Sequence({rules_.Bytes("\n"), indent})}));
    }
    return rules_.Call(space_);
  }

  // One character of a string in any of its spellings; \u escapes only of whole characters.
  NodeId AnyCharacterOfString() {
    if (character_ < 0) {
      const auto hex = [&](const CodeSet& set) { return rules_.Set(set); };
      const CodeSet digit{{'0', '9'}, {'a', 'f'}, {'A', 'F'}};
      const CodeSet not_d{{'0', '9'}, {'a', 'c'}, {'e', 'f'}, {'A', 'C'}, {'E', 'F'}};
      const CodeSet d{{'d', 'd'}, {'D', 'D'}};
      const NodeId below = rules_.Sequence({hex(d), hex({{'0', '7'}}), hex(digit), hex(digit)});
      const NodeId other = rules_.Sequence({hex(not_d), hex(digit), hex(digit), hex(digit)});
      const NodeId pair = rules_.Sequence({hex(d), hex({{'8', '9'}, {'a', 'b'}, {'A', 'B'}}),
                                           hex(digit), hex(digit), rules_.Bytes("\\u"), hex(d),
                                           hex({{'c', 'f'}, {'C', 'F'}}), hex(digit), hex(digit)});
      const NodeId escape = rules_.Choice(
          {rules_.Set({{'"', '"'},
                       {'\\', '\\'},
                       {'/', '/'},
                       {'b', 'b'},
                       {'f', 'f'},
                       {'n', 'n'},
                       {'r', 'r'},
                       {'t', 't'}}),
           rules_.Sequence({rules_.Bytes("u"), rules_.Choice({below, other, pair})})});
      character_ = rules_.Rule(
          "character", rules_.Choice({rules_.Set({{0x20, 0x21}, {0x23, 0x5B}, {0x5D, 0x10FFFF}}),
                                      rules_.Sequence({rules_.Bytes("\\"), escape})}));
    }
    return rules_.Call(character_);
  }
  NodeId AnyString() {
    if (string_ < 0) {
      AnyCharacterOfString();
      const NodeId inside = rules_.body(character_);  // written out: the string is one automaton
      string_ = rules_.Rule(
          "string",
          rules_.Sequence({rules_.Bytes("\""), rules_.Repeat(inside, 0, -1), rules_.Bytes("\"")}));
    }
    return rules_.Call(string_);
  }
  NodeId Number(bool integer) {
    RuleId& rule = integer ? integer_ : number_;
    if (rule < 0) {
      rule =
          rules_.Rule(integer ? "integer" : "number", integer ? IntegerNode(rules_, {}, kMaxDigits)
                                                              : NumberNode(rules_, {}, kMaxDigits));
    }
    return rules_.Call(rule);
  }
  NodeId Comma() { return rules_.Sequence({rules_.Bytes(","), Space()}); }
  NodeId Colon() { return rules_.Sequence({rules_.Bytes(":"), Space()}); }

  RuleId ValueRule() {
    if (value_ >= 0) return value_;
    value_ = rules_.NewRule("value");
    object_rule_ = rules_.NewRule("object");
    array_rule_ = rules_.NewRule("array");
    const NodeId value = rules_.Call(value_);
    const NodeId member = rules_.Sequence({AnyString(), Colon(), value});
    const NodeId more_members = rules_.Repeat(rules_.Sequence({Comma(), member}), 0, -1);
    rules_.Define(
        object_rule_,
        rules_.Sequence({rules_.Bytes("{"), Space(),
                         rules_.Optional(rules_.Sequence({member, more_members, Space()})),
                         rules_.Bytes("}")}));
    const NodeId more_values = rules_.Repeat(rules_.Sequence({Comma(), value}), 0, -1);
    rules_.Define(array_rule_,
                  rules_.Sequence({rules_.Bytes("["), Space(),
                                   rules_.Optional(rules_.Sequence({value, more_values, Space()})),
                                   rules_.Bytes("]")}));
    rules_.Define(value_, rules_.Choice({rules_.Call(object_rule_), rules_.Call(array_rule_),
                                         AnyString(), Number(false), rules_.Bytes("true"),
                                         rules_.Bytes("false"), rules_.Bytes("null")}));
    return value_;
  }

  // --- References.

  Result<const Json*> Target(std::string_view pointer, const std::string& path) {
    if (pointer == "#") return &root_;
    if (!pointer.starts_with("#/")) {
      return NotOffered(path, fmt::format("$ref {:.80} (only #/... within the schema)", pointer));
    }
    const Json* at = &root_;
    size_t i = 2;
    while (i <= pointer.size()) {
      const size_t end = std::min(pointer.find('/', i), pointer.size());
      std::string key;
      for (size_t k = i; k < end; ++k) {
        const auto digit = [](char c) {
          return c >= '0' && c <= '9'                 ? c - '0'
                 : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                      : -1;
        };
        if (pointer[k] == '~' && k + 1 < end && (pointer[k + 1] == '0' || pointer[k + 1] == '1')) {
          key += pointer[++k] == '0' ? '~' : '/';
        } else if (pointer[k] == '%' && k + 2 < end && digit(pointer[k + 1]) >= 0 &&
                   digit(pointer[k + 2]) >= 0) {
          key += static_cast<char>(digit(pointer[k + 1]) * 16 + digit(pointer[k + 2]));
          k += 2;
        } else {
          key += pointer[k];
        }
      }
      if (at->is_object() && at->contains(key)) {
        at = &(*at)[key];
      } else if (at->is_array() && !key.empty() && key.size() < 7 &&
                 key.find_first_not_of("0123456789") == key.npos && std::stoul(key) < at->size()) {
        at = &(*at)[std::stoul(key)];
      } else {
        return Bad(path, fmt::format("$ref {:.80} points to nothing", pointer));
      }
      i = end + 1;
    }
    return at;
  }

  Result<NodeId> Reference(const std::string& pointer, const std::string& path) {
    const auto known = references_.find(pointer);
    if (known != references_.end()) return rules_.Call(known->second);
    const Json* target = TRY(Target(pointer, path));
    const RuleId rule = rules_.NewRule(pointer);
    references_[pointer] = rule;
    rules_.Define(rule, TRY(Of(*target, pointer.substr(1), 0)));
    return rules_.Call(rule);
  }

  // --- Two schemas that must both hold, as one.

  Result<Json> Merge(Json a, Json b, const std::string& path, int depth) {
    if (++merges_ > kMaxMerges || depth > kMaxSchemaDepth) {
      return At(path, Code::kTooLarge, "too many schemas to bring together");
    }
    if (a.is_boolean()) return a.get<bool>() ? b : a;
    if (b.is_boolean()) return b.get<bool>() ? a : b;
    if (!a.is_object() || !b.is_object())
      return Bad(path, "a schema is an object or true or false");
    for (Json* side : {&a, &b}) {
      if (!side->contains("$ref")) continue;
      const Json ref = (*side)["$ref"];
      if (!ref.is_string()) return Bad(path, "$ref is no string");
      const Json target = *TRY(Target(ref.get<std::string>(), path));
      side->erase("$ref");
      *side = TRY(Merge(std::move(*side), target, path, depth + 1));
      if (side->is_boolean()) return Merge(std::move(a), std::move(b), path, depth + 1);
    }
    for (Json* side : {&a, &b}) {
      if (!side->contains("const")) continue;
      const Json value = (*side)["const"];
      side->erase("const");
      *side = TRY(Merge(std::move(*side), Json{{"enum", Json::array({value})}}, path, depth + 1));
    }
    Json out = a;
    for (const auto& [key, value] : b.items()) {
      if (!out.contains(key)) {
        out[key] = value;
        continue;
      }
      Json& mine = out[key];
      if (IsAnnotation(key) || mine == value) continue;
      if (key == "type") {
        Json both = Json::array();
        const auto list = [](const Json& t) { return t.is_array() ? t : Json::array({t}); };
        for (const Json& x : list(mine)) {
          for (const Json& y : list(value)) {
            if (x == y) {
              both.push_back(x);
            } else if ((x == "integer" && y == "number") || (x == "number" && y == "integer")) {
              both.push_back("integer");
            }
          }
        }
        if (both.empty()) return Json(false);
        mine = std::move(both);
      } else if (key == "enum") {
        Json both = Json::array();
        for (const Json& x : mine) {
          for (const Json& y : value) {
            if (x == y) {
              both.push_back(x);
              break;
            }
          }
        }
        if (both.empty()) return Json(false);
        mine = std::move(both);
      } else if (key == "required") {
        for (const Json& x : value) {
          if (std::find(mine.begin(), mine.end(), x) == mine.end()) mine.push_back(x);
        }
      } else if (key == "properties") {
        // (Brought together below, where additionalProperties of both sides are still known.)
      } else if (key == "additionalProperties" || key == "items") {
        if (key == "items" && (a.contains("prefixItems") || b.contains("prefixItems"))) {
          return NotOffered(path, "allOf with prefixItems beside items");
        }
        mine = TRY(Merge(mine, value, path + "/" + key, depth + 1));
      } else if (key == "minItems" || key == "minLength" || key == "minimum" ||
                 key == "exclusiveMinimum") {
        if (!mine.is_number() || !value.is_number()) return Bad(path, key + " is no number");
        if (value.get<double>() > mine.get<double>()) mine = value;
      } else if (key == "maxItems" || key == "maxLength" || key == "maximum" ||
                 key == "exclusiveMaximum") {
        if (!mine.is_number() || !value.is_number()) return Bad(path, key + " is no number");
        if (value.get<double>() < mine.get<double>()) mine = value;
      } else if (key == "nullable") {
        mine = false;
      } else if (key == "anyOf" || key == "oneOf") {
        if (!mine.is_array() || !value.is_array()) return Bad(path, key + " is no list");
        if (mine.size() * value.size() > kMaxProduct) {
          return At(path, Code::kTooLarge, "too many alternatives of alternatives");
        }
        Json product = Json::array();
        for (const Json& x : mine) {
          for (const Json& y : value) product.push_back(TRY(Merge(x, y, path, depth + 1)));
        }
        mine = std::move(product);
      } else if (key == "allOf") {
        for (const Json& x : value) mine.push_back(x);
      } else {
        return NotOffered(path, fmt::format("two different \"{:.40}\" that must both hold", key));
      }
    }
    // What one side's patterns name, the other's properties and additionalProperties see as well.
    const auto sees_names = [](const Json& side) {
      return side.contains("properties") ||
             (side.contains("additionalProperties") && side["additionalProperties"] != true);
    };
    if ((a.contains("patternProperties") && sees_names(b)) ||
        (b.contains("patternProperties") && sees_names(a))) {
      return NotOffered(path, "patternProperties beside properties of another schema");
    }
    // A property of one side must hold to the other's additionalProperties if that has no such
    // property.
    if (a.contains("properties") || b.contains("properties")) {
      const Json none = Json::object();
      const Json pa = a.contains("properties") ? a["properties"] : none;
      const Json pb = b.contains("properties") ? b["properties"] : none;
      if (!pa.is_object() || !pb.is_object()) return Bad(path, "properties is no object");
      Json both = Json::object();
      const auto allowed = [&](const Json& side) {
        return side.contains("additionalProperties") ? side["additionalProperties"] : Json(true);
      };
      for (const auto& [name, schema] : pa.items()) {
        both[name] = TRY(Merge(schema, pb.contains(name) ? pb[name] : allowed(b), path, depth + 1));
      }
      for (const auto& [name, schema] : pb.items()) {
        if (!pa.contains(name)) {
          both[name] = TRY(Merge(schema, allowed(a), path, depth + 1));
        }
      }
      out["properties"] = std::move(both);
    }
    return out;
  }

  // --- Schemas.

  Status CheckKeys(const Json& schema, const std::string& path) {
    for (const auto& [key, value] : schema.items()) {
      if (IsAnnotation(key)) continue;
      if (key == "uniqueItems" && value.is_boolean() && !value.get<bool>()) continue;
      if (std::find(std::begin(kConstraints), std::end(kConstraints), key) !=
          std::end(kConstraints)) {
        continue;
      }
      std::vector<std::string> known;
      for (const std::string_view k : kConstraints) known.emplace_back(k);
      const std::string near = NearestOf(key, known);
      return NotOffered(path, fmt::format("the keyword \"{:.60}\"", key))
          .Hint(near.empty() ? "leave it out, and check the answer for it"
                             : fmt::format("did you mean {}?", near));
    }
    return {};
  }

  Result<NodeId> Of(const Json& schema, const std::string& path, int depth) {
    if (depth > kMaxSchemaDepth) return At(path, Code::kTooLarge, "schemas nested too deeply");
    if (++made_ > kMaxMerges) return At(path, Code::kTooLarge, "too many schemas");
    if (schema.is_boolean()) {
      return schema.get<bool>() ? rules_.Call(ValueRule()) : rules_.Never();
    }
    if (!schema.is_object()) return Bad(path, "a schema is an object or true or false");
    TRY(CheckKeys(schema, path));
    if (schema.contains("not")) {
      const Json& no = schema["not"];
      if (no == true || no == Json::object()) return rules_.Never();
      return NotOffered(path, "the keyword \"not\" with something in it")
          .Hint("leave it out, and check the answer for it");
    }
    const auto constraints = [](const Json& json) {
      size_t n = 0;
      for (const auto& [key, value] : json.items()) n += !IsAnnotation(key);
      return n;
    };
    if (schema.contains("$ref")) {
      const Json& ref = schema["$ref"];
      if (!ref.is_string()) return Bad(path, "$ref is no string");
      if (constraints(schema) == 1) return Reference(ref.get<std::string>(), path);
      return Of(TRY(Merge(schema, Json::object(), path, 0)), path, depth + 1);
    }
    if (schema.contains("allOf")) {
      const Json& list = schema["allOf"];
      if (!list.is_array()) return Bad(path, "allOf is no list");
      Json rest = schema;
      rest.erase("allOf");
      // One schema alone stays a reference, so that recursion through it ends.
      if (list.size() == 1 && constraints(rest) == 0)
        return Of(list[0], path + "/allOf/0", depth + 1);
      for (const Json& part : list) {
        TRY(CheckNested(part, path));
        rest = TRY(Merge(std::move(rest), part, path, 0));
      }
      return Of(rest, path, depth + 1);
    }
    for (const char* key : {"anyOf", "oneOf"}) {
      if (!schema.contains(key)) continue;
      const Json& list = schema[key];
      if (!list.is_array() || list.empty()) return Bad(path, fmt::format("{} is no list", key));
      Json rest = schema;
      rest.erase(key);
      const bool alone = constraints(rest) == 0;
      std::vector<NodeId> all;
      for (size_t i = 0; i < list.size(); ++i) {
        const std::string at = fmt::format("{}/{}/{}", path, key, i);
        all.push_back(TRY(Of(alone ? list[i] : TRY(Merge(rest, list[i], at, 0)), at, depth + 1)));
      }
      return rules_.Choice(std::move(all));
    }
    const uint32_t types = TRY(TypesOf(schema, path));
    if (schema.contains("const") || schema.contains("enum")) return Values(schema, types, path);
    std::vector<NodeId> all;
    if (types & kObject) all.push_back(TRY(Object(schema, path, depth)));
    if (types & kArray) all.push_back(TRY(Array(schema, path, depth)));
    if (types & kString) all.push_back(TRY(String(schema, path)));
    if (types & kNumber) all.push_back(TRY(Numeric(schema, false, path)));
    if ((types & kInteger) && !(types & kNumber)) all.push_back(TRY(Numeric(schema, true, path)));
    if (types & kBoolean) {
      all.push_back(rules_.Bytes("true"));
      all.push_back(rules_.Bytes("false"));
    }
    if (types & kNull) all.push_back(rules_.Bytes("null"));
    return rules_.Choice(std::move(all));
  }
  // Of what is about to be brought together, so that its keywords are refused by name.
  Status CheckNested(const Json& schema, const std::string& path) {
    return schema.is_object() ? CheckKeys(schema, path) : Status();
  }

  Result<uint32_t> TypesOf(const Json& schema, const std::string& path) {
    uint32_t types = 0;
    if (schema.contains("type")) {
      const Json& given = schema["type"];
      const Json list = given.is_array() ? given : Json::array({given});
      for (const Json& name : list) {
        uint32_t found = 0;
        for (const auto& [known, bit] : kTypeNames) {
          if (name.is_string() && name.get_ref<const std::string&>() == known) found = bit;
        }
        if (found == 0) {
          return Bad(path,
                     "type names none of null, boolean, string, number, integer, array and "
                     "object");
        }
        types |= found;
      }
    } else {
      const auto any_of = [&](std::initializer_list<const char*> keys) {
        return std::any_of(keys.begin(), keys.end(),
                           [&](const char* key) { return schema.contains(key); });
      };
      if (any_of({"properties", "required", "additionalProperties", "propertyNames",
                  "patternProperties"}))
        types |= kObject;
      if (any_of({"items", "prefixItems", "minItems", "maxItems"})) types |= kArray;
      if (any_of({"minLength", "maxLength", "pattern", "format"})) types |= kString;
      if (any_of({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}))
        types |= kNumber;
      if (types == 0) types = kAllTypes;
    }
    if (schema.contains("nullable") && schema["nullable"] == true) types |= kNull;
    return types;
  }

  // One value, with white space where it may be.
  NodeId Exactly(const Json& value) {
    if ((!value.is_object() && !value.is_array()) || value.empty()) {
      return rules_.Bytes(Dump(value));
    }
    const bool object = value.is_object();
    std::vector<NodeId> parts = {rules_.Bytes(object ? "{" : "["), Space()};
    bool first = true;
    for (const auto& [name, member] : value.items()) {
      if (!first) parts.push_back(Comma());
      first = false;
      if (object) {
        parts.push_back(rules_.Bytes(Dump(name)));
        parts.push_back(Colon());
      }
      parts.push_back(Exactly(member));
    }
    parts.push_back(Space());
    parts.push_back(rules_.Bytes(object ? "}" : "]"));
    return rules_.Sequence(std::move(parts));
  }

  Result<NodeId> Values(const Json& schema, uint32_t types, const std::string& path) {
    for (const auto& [key, value] : schema.items()) {
      if (IsAnnotation(key) || key == "type" || key == "enum" || key == "const" ||
          key == "nullable") {
        continue;
      }
      return NotOffered(path, fmt::format("\"{:.40}\" beside enum or const", key));
    }
    Json list = schema.contains("enum") ? schema["enum"] : Json::array({schema["const"]});
    if (!list.is_array()) return Bad(path, "enum is no list");
    std::vector<NodeId> all;
    for (const Json& value : list) {
      if (schema.contains("const") && value != schema["const"]) continue;
      if (HasType(value, types)) all.push_back(Exactly(value));
    }
    if (schema.contains("nullable") && schema["nullable"] == true) {
      all.push_back(rules_.Bytes("null"));
    }
    return rules_.Choice(std::move(all));
  }

  // A count such as minItems.
  Result<int> Count(const Json& schema, const char* key, int otherwise, const std::string& path) {
    if (!schema.contains(key)) return otherwise;
    const Json& value = schema[key];
    if (!value.is_number() || value.get<double>() < 0 || !IsIntegral(value)) {
      return Bad(path, fmt::format("{} is no count", key));
    }
    if (value.get<double>() > kMaxCount) {
      return At(path, Code::kTooLarge,
                fmt::format("{} is {}; at most {} is taken", key, Dump(value), kMaxCount))
          .Hint("leave it out, and check the answer for it");
    }
    return static_cast<int>(value.get<double>());
  }

  Result<NodeId> String(const Json& schema, const std::string& path) {
    const StringForm form = TRY(StringFormOf(schema, path));
    if (form.max >= 0 && form.max < form.min) return rules_.Never();
    if (form.expressions.empty()) {
      if (!form.bounded()) return AnyString();
      return rules_.Sequence({rules_.Bytes("\""),
                              rules_.Repeat(AnyCharacterOfString(), form.min, form.max),
                              rules_.Bytes("\"")});
    }
    const Result<NodeId> inside = TextNode(form);
    if (!inside) return At(path, inside.error().code(), inside.error().message());
    return rules_.Sequence({rules_.Bytes("\""), *inside, rules_.Bytes("\"")});
  }

  // What a string is held to.
  struct StringForm {
    std::vector<std::pair<std::string, Anchoring>> expressions;
    int min = 0, max = -1;
    bool bounded() const { return min > 0 || max >= 0; }
  };
  Result<StringForm> StringFormOf(const Json& schema, const std::string& path) {
    StringForm form;
    form.min = TRY(Count(schema, "minLength", 0, path));
    form.max = TRY(Count(schema, "maxLength", -1, path));
    for (const char* key : {"pattern", "format"}) {
      if (schema.contains(key) && !schema[key].is_string())
        return Bad(path, fmt::format("{} is no string", key));
    }
    if (schema.contains("pattern"))
      form.expressions.emplace_back(schema["pattern"].get<std::string>(), Anchoring::kSearch);
    if (!schema.contains("format")) return form;
    const std::string format = schema["format"].get<std::string>();
    const auto found = std::find_if(std::begin(kFormats), std::end(kFormats),
                                    [&](const auto& f) { return f.first == format; });
    if (found != std::end(kFormats)) {
      form.expressions.emplace_back(found->second, Anchoring::kWhole);
      return form;
    }
    // Beside a pattern, the pattern says what the format's name means.
    if (schema.contains("pattern") || std::find(std::begin(kFreeFormats), std::end(kFreeFormats),
                                                format) != std::end(kFreeFormats))
      return form;
    std::string known;
    for (const auto& [name, unused] : kFormats)
      known += (known.empty() ? "" : ", ") + std::string(name);
    return NotOffered(path, fmt::format("the format \"{:.40}\"", format))
        .Hint("offered are " + known);
  }
  // One expression becomes rules as it stands; more than one thing to hold to, or a look-ahead in
  // front, need an automaton.
  Result<NodeId> TextNode(const StringForm& form) {
    if (form.expressions.size() == 1 && !form.bounded()) {
      const auto& [expression, anchoring] = form.expressions[0];
      Result<NodeId> plain = RegexNodeOf(rules_, expression, anchoring, Spelling::kJsonString);
      if (plain || plain.error().code() != Code::kUnimplemented) return plain;
    }
    return TRY(LanguageOf(form))
    .Node(rules_, Spelling::kJsonString);
  }
  static Result<Language> LanguageOf(const StringForm& form) {
    std::optional<Language> all;
    if (form.bounded()) all = TRY(Language::OfLength(form.min, form.max));
    for (const auto& [expression, anchoring] : form.expressions) {
      const Language one = TRY(
          Language::Of(TRY(model::ParseRegex(expression, model::RegexDialect::kEcma)), anchoring));
      all = all ? TRY(all->And(one)) : one;
    }
    return *std::move(all);
  }

  Result<NodeId> Numeric(const Json& schema, bool integer, const std::string& path) {
    Bounds bounds;
    for (const auto& [key, low, exclusive] :
         {std::tuple("minimum", true, false), std::tuple("exclusiveMinimum", true, true),
          std::tuple("maximum", false, false), std::tuple("exclusiveMaximum", false, true)}) {
      if (!schema.contains(key)) continue;
      const Json& value = schema[key];
      if (exclusive && value.is_boolean()) {  // as in draft 4: a flag beside minimum or maximum
        std::optional<Bound>& bound = low ? bounds.low : bounds.high;
        if (bound && value.get<bool>()) bound->exclusive = true;
        continue;
      }
      const std::optional<Decimal> at =
          value.is_number() ? Decimal::From(Dump(value)) : std::nullopt;
      if (!at) return Bad(path, fmt::format("{} is no number", key));
      std::optional<Bound>& bound = low ? bounds.low : bounds.high;
      const int order = bound ? Compare(*at, bound->at) : 0;
      // The stricter of two.
      if (!bound || (low ? order > 0 : order < 0)) {
        bound = Bound{*at, exclusive};
      } else if (order == 0) {
        bound->exclusive |= exclusive;
      }
    }
    if (schema.contains("multipleOf")) {
      const Json& value = schema["multipleOf"];
      const auto of = value.is_number() ? Decimal::From(Dump(value)) : std::nullopt;
      if (!of || of->negative || of->IsZero())
        return Bad(path, "multipleOf is no number above zero");
      const auto node = MultiplesNode(rules_, *of, integer, bounds, kMaxDigits);
      if (!node)
        return NotOffered(path, fmt::format("multipleOf {} with these bounds", Dump(value)))
            .Hint(
                "1, 0.1, 0.01, ... are offered, and whole numbers up to 100; leave it out, and "
                "check the answer for it");
      return *node;
    }
    if (!bounds.low && !bounds.high) return Number(integer);
    return integer ? IntegerNode(rules_, bounds, kMaxDigits)
                   : NumberNode(rules_, bounds, kMaxDigits);
  }

  Result<NodeId> Array(const Json& schema, const std::string& path, int depth) {
    int min = TRY(Count(schema, "minItems", 0, path));
    int max = TRY(Count(schema, "maxItems", -1, path));
    Json prefix = Json::array();
    Json rest = true;
    if (schema.contains("prefixItems")) prefix = schema["prefixItems"];
    if (schema.contains("items")) rest = schema["items"];
    if (rest.is_array()) {  // as before 2020: a list is what prefixItems is now
      prefix = rest;
      rest = true;
    }
    if (!prefix.is_array()) return Bad(path, "prefixItems is no list");
    const auto first = static_cast<int>(prefix.size());
    if (rest.is_boolean() && !rest.get<bool>()) max = max < 0 ? first : std::min(max, first);
    if (max >= 0 && max < min) return rules_.Never();
    // From behind: what may follow the i-th of the prefix.
    NodeId tail = rules_.Empty();
    if (max < 0 || max > first) {
      const NodeId item =
          rules_.Call(rules_.Rule(path + "/items", TRY(Of(rest, path + "/items", depth + 1))));
      const NodeId more = rules_.Sequence({Comma(), item});
      const int least = std::max(0, min - first), most = max < 0 ? -1 : max - first;
      if (first > 0) {
        tail = rules_.Repeat(more, least, most);
      } else if (most != 0) {
        tail = rules_.Sequence(
            {item, rules_.Repeat(more, std::max(0, least - 1), most < 0 ? -1 : most - 1)});
        if (least == 0) tail = rules_.Optional(tail);
      }
    }
    for (int i = first - 1; i >= 0; --i) {
      if (max >= 0 && i >= max) continue;
      const std::string at = fmt::format("{}/prefixItems/{}", path, i);
      std::vector<NodeId> parts;
      if (i > 0) parts.push_back(Comma());
      parts.push_back(TRY(Of(prefix[static_cast<size_t>(i)], at, depth + 1)));
      parts.push_back(tail);
      tail = rules_.Sequence(std::move(parts));
      if (i >= min) tail = rules_.Optional(tail);
    }
    return rules_.Sequence({rules_.Bytes("["), Space(), tail, Space(), rules_.Bytes("]")});
  }

  // A name that is none of `names`, in quotes. `at` is how far the names that are still possible
  // have been spelled.
  NodeId OtherName(const std::vector<std::string>& names, size_t at) {
    std::map<uint32_t, std::vector<std::string>> by_next;
    bool one_ends = false;
    for (const std::string& name : names) {
      if (at == name.size()) {
        one_ends = true;
        continue;
      }
      by_next[model::Utf8At(name, at).code].push_back(name);
    }
    std::vector<NodeId> all;
    CodeSet other = AnyCharacter();
    CodeSet taken;
    for (const auto& [code, rest] : by_next) {
      taken.Add(code, code);
      const size_t next = at + model::Utf8At(rest[0], at).size;
      all.push_back(rules_.Sequence(
          {rules_.Set(CodeSet{{code, code}}, Spelling::kJsonString), OtherName(rest, next)}));
    }
    taken.Normalize();
    taken.Negate();
    other.Intersect(taken);
    if (plain_rest_ < 0) {
      plain_rest_ = rules_.Rule(
          "rest of a name",
          rules_.Sequence({rules_.Repeat(rules_.Set(AnyCharacter(), Spelling::kJsonString), 0, -1),
                           rules_.Bytes("\"")}));
    }
    all.push_back(rules_.Sequence(
        {rules_.Set(std::move(other), Spelling::kJsonString), rules_.Call(plain_rest_)}));
    if (!one_ends) all.push_back(rules_.Bytes("\""));
    return rules_.Choice(std::move(all));
  }

  // Whether nothing but annotations and "type": "string" stands beside `key`.
  static bool OnlyBeside(const Json& names, std::string_view key) {
    const auto items = names.items();
    return std::all_of(items.begin(), items.end(), [&](const auto& item) {
      return item.key() == key || IsAnnotation(item.key()) ||
             (item.key() == "type" && item.value() == "string");
    });
  }

  // propertyNames that are a list: the names are properties like any other, and no more follow.
  static bool ListNames(const Json& schema, Json* properties, Json* additional) {
    const Json* names = schema.contains("propertyNames") ? &schema["propertyNames"] : nullptr;
    if (names == nullptr || !names->is_object()) return false;
    Json list;
    for (const char* key : {"const", "enum"}) {
      if (!names->contains(key) || !OnlyBeside(*names, key)) continue;
      list = std::string_view(key) == "const" ? Json::array({(*names)[key]}) : (*names)[key];
    }
    if (!list.is_array()) return false;
    Json all = Json::object();
    for (const Json& name : list) {
      if (!name.is_string()) continue;
      const auto& text = name.get_ref<const std::string&>();
      all[text] = properties->contains(text) ? (*properties)[text] : *additional;
    }
    *properties = std::move(all);
    *additional = false;
    return true;
  }

  // A map whose names are held to something, by propertyNames or patternProperties; -1: it is not.
  Result<NodeId> ByName(const Json& schema, const Json& properties, const Json& additional,
                        bool listed, const std::string& path, int depth) {
    std::vector<std::pair<NodeId, NodeId>> kinds;  // of name and of value
    const auto quoted = [&](const Language& names) {
      return rules_.Sequence(
          {rules_.Bytes("\""), names.Node(rules_, Spelling::kJsonString), rules_.Bytes("\"")});
    };
    const auto free = [](const Json& names) {
      return names.is_object() ? OnlyBeside(names, "type") : names == true;
    };
    const bool named =
        schema.contains("propertyNames") && !listed && !free(schema["propertyNames"]);
    const bool patterned =
        schema.contains("patternProperties") && schema["patternProperties"] != Json::object();
    if (!named && !patterned) return -1;
    if (!properties.empty() || (named && patterned)) {
      return NotOffered(path,
                        fmt::format("{} beside {}", named ? "propertyNames" : "patternProperties",
                                    properties.empty() ? "patternProperties" : "properties"))
          .Hint("put the map into a property of its own");
    }
    if (named) {
      const std::string at = path + "/propertyNames";
      const Json& names = schema["propertyNames"];
      if (names == false) return rules_.Sequence({rules_.Bytes("{"), Space(), rules_.Bytes("}")});
      if (!names.is_object()) return Bad(at, "a schema is an object or true or false");
      Json strings = names;
      if (!names.contains("type") && !names.contains("$ref")) strings["type"] = "string";
      kinds.push_back({
        TRY(Of(strings, at, depth + 1))
        , TRY(Of(additional, path + "/additionalProperties", depth + 1))
      });
    } else {
      const Json& patterns = schema["patternProperties"];
      if (!patterns.is_object() || patterns.size() > 1)
        return NotOffered(path, "more than one of patternProperties");
      const std::string at = path + "/patternProperties";
      const Result<Language> names =
          LanguageOf({.expressions = {{patterns.begin().key(), Anchoring::kSearch}}});
      if (!names) return At(at, names.error().code(), names.error().message());
      kinds.push_back({ quoted(*names), TRY(Of(patterns.begin().value(), at, depth + 1)) });
      if (additional != false)
        kinds.push_back({
          quoted(names->Not()), TRY(Of(additional, path + "/additionalProperties", depth + 1))
        });
    }
    std::vector<NodeId> members;
    for (const auto& [name, value] : kinds)
      members.push_back(rules_.Sequence({name, Colon(), value}));
    const NodeId member =
        rules_.Call(rules_.Rule(path + "/names", rules_.Choice(std::move(members))));
    const NodeId all = rules_.Sequence(
        {member, rules_.Repeat(rules_.Sequence({Comma(), member}), 0, -1), Space()});
    return rules_.Sequence({rules_.Bytes("{"), Space(), rules_.Optional(all), rules_.Bytes("}")});
  }

  Result<NodeId> Object(const Json& schema, const std::string& path, int depth) {
    Json properties = Json::object();
    if (schema.contains("properties")) properties = schema["properties"];
    if (!properties.is_object()) return Bad(path, "properties is no object");
    std::set<std::string> required;
    if (schema.contains("required")) {
      if (!schema["required"].is_array()) return Bad(path, "required is no list");
      for (const Json& name : schema["required"]) {
        if (!name.is_string()) return Bad(path, "required is no list of names");
        required.insert(name.get<std::string>());
      }
    }
    Json additional = options_.additional_properties;
    if (schema.contains("additionalProperties")) additional = schema["additionalProperties"];
    const bool listed = ListNames(schema, &properties, &additional);
    // A required name without a schema of its own has that of the additional ones.
    for (const std::string& name : required) {
      if (!properties.contains(name)) properties[name] = additional;
    }
    struct Member {
      NodeId node;
      bool needed;
    };
    std::vector<Member> members;
    std::vector<std::string> names;
    for (const auto& [name, value] : properties.items()) {
      const std::string at = path + "/properties/" + name;
      const NodeId inside = TRY(Of(value, at, depth + 1));
      const NodeId member = rules_.Sequence({rules_.Bytes(Dump(name)), Colon(), inside});
      members.push_back({rules_.Call(rules_.Rule(at, member)), required.count(name) > 0});
      std::string whole = name;
      names.push_back(model::TakeUtf8(whole, true));
    }
    if (const auto by_name = TRY(ByName(schema, properties, additional, listed, path, depth));
        by_name >= 0)
      return by_name;
    NodeId extra = -1;  // one additional member
    if (!(additional.is_boolean() && !additional.get<bool>())) {
      const std::string at = path + "/additionalProperties";
      const NodeId name =
          names.empty() ? AnyString() : rules_.Sequence({rules_.Bytes("\""), OtherName(names, 0)});
      extra = rules_.Call(
          rules_.Rule(at, rules_.Sequence({ name, Colon(), TRY(Of(additional, at, depth + 1)) })));
    }
    // From behind: rest[i] is what may follow once something stands before member i.
    NodeId rest =
        extra < 0 ? rules_.Empty() : rules_.Repeat(rules_.Sequence({Comma(), extra}), 0, -1);
    std::vector<NodeId> first;  // each way to begin
    bool may_be_empty = true;
    if (extra >= 0) first.push_back(rules_.Sequence({extra, rest}));
    for (size_t i = members.size(); i-- > 0;) {
      if (members[i].needed) {  // nothing behind it can be the first
        first.clear();
        may_be_empty = false;
      }
      const NodeId after = rules_.Call(rules_.Rule(fmt::format("{}: behind {}", path, i), rest));
      first.push_back(rules_.Sequence({members[i].node, after}));
      const NodeId with = rules_.Sequence({Comma(), members[i].node});
      rest = rules_.Sequence({members[i].needed ? with : rules_.Optional(with), after});
    }
    std::reverse(first.begin(), first.end());
    NodeId inside = rules_.Sequence({rules_.Choice(std::move(first)), Space()});
    if (may_be_empty) inside = rules_.Optional(inside);
    return rules_.Sequence({rules_.Bytes("{"), Space(), inside, rules_.Bytes("}")});
  }

  Rules& rules_;
  SchemaOptions options_;
  Json root_;
  std::map<std::string, RuleId> references_;
  int merges_ = 0, made_ = 0;
  RuleId space_ = -1, character_ = -1, string_ = -1, number_ = -1, integer_ = -1, value_ = -1,
         object_rule_ = -1, array_rule_ = -1, plain_rest_ = -1;
};

}  // namespace

Result<NodeId> SchemaNodeOf(Rules& rules, std::string_view schema, const SchemaOptions& options) {
  return SchemaMaker(rules, options).Whole(schema);
}

NodeId AnyJsonNode(Rules& rules, bool object, const SchemaOptions& options) {
  return SchemaMaker(rules, options).Any(object);
}

}  // namespace weir::grammar
