#include "engine/grammar/grammar.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/random.h"
#include "engine/grammar/number_rules.h"
#include "engine/model/bpe_trainer.h"
#include "engine/model/pretokenizer_regex.h"
#include "engine/model/tokenizer.h"

namespace weir::grammar {
namespace {

using Json = nlohmann::ordered_json;

uint64_t Seed() {
  const char* text = std::getenv("SEED");
  return text != nullptr ? std::strtoull(text, nullptr, 0) : 20261122;
}

// A vocabulary whose tokens cross every boundary of JSON: `": "`, `"},`, `tru`,
// halves of letters.
const model::Tokenizer& TestTokenizer() {
  static const model::Tokenizer tokenizer = [] {
    model::BpeTrainerOptions options;
    options.vocab_size = 900;
    options.special_tokens = {"<|endoftext|>", "[TOOL_CALLS]"};
    model::BpeTrainer trainer = *model::BpeTrainer::Create(options);
    std::string text;
    for (int i = 0; i < 40; ++i) {
      text +=
          R"({"name": "Ann é日本🙂", "age": 12, "ok": true, "list": [1, 2.5, null, false], )"
          R"("a": {"b": {"c": "x"}}, "text": "say \"hi\"\n", "e": -1e5, "u": "\u00e9"}, )"
          "\n{\n  \"k\": [[], [[]], {}],\n  \"z\": \"\"\n}\n";
      text += fmt::format("{} {}.{} 20{}-0{}-1{}T", i, i * 7, i * 13, i, i % 9 + 1, i % 3);
    }
    trainer.Add(text);
    return *trainer.Train();
  }();
  return tokenizer;
}
std::shared_ptr<const Vocabulary> TestVocabulary() {
  static const auto vocabulary = Vocabulary::Create(TestTokenizer());
  return vocabulary;
}

bool Allowed(const std::vector<uint32_t>& bits, TokenId id) {
  return (bits[static_cast<size_t>(id) / 32] >> (id % 32) & 1) != 0;
}
std::vector<uint32_t> MaskOf(Matcher& m) {
  std::vector<uint32_t> bits(MaskWords(TestTokenizer().vocab_size()));
  m.Mask(bits);
  return bits;
}

// Does the form have this text, token by token through the masks?
bool Has(const GrammarPtr& grammar, std::string_view text) {
  Matcher m(grammar);
  for (const TokenId id : TestTokenizer().Encode(text)) {
    const bool allowed = Allowed(MaskOf(m), id);
    if (m.Accept(id) != allowed) ADD_FAILURE() << "mask and Accept differ in " << text;
    if (!allowed) return false;
  }
  return m.Done();
}

GrammarPtr Schema(const std::string& schema, const SchemaOptions& options = {}) {
  Result<GrammarPtr> made = CompileJsonSchema(TestVocabulary(), schema, options);
  if (!made) ADD_FAILURE() << schema << "\n" << made.error().ToString();
  return made ? *made : nullptr;
}

// Picks allowed tokens at random, shorter ones and ends more often as time goes
// by, until a stop token; checks each mask against reading every token in full.
std::string RandomWalk(const GrammarPtr& grammar, Random& random, int check_every) {
  Matcher m(grammar);
  std::string text;
  const TokenId n = TestTokenizer().vocab_size();
  for (int step = 0; step < 400; ++step) {
    const std::vector<uint32_t> bits = MaskOf(m);
    std::vector<TokenId> allowed;
    for (TokenId id = 0; id < n; ++id) {
      if (Allowed(bits, id)) allowed.push_back(id);
    }
    if (check_every > 0 && step % check_every == 0) {
      for (TokenId id = 0; id < n; ++id) {
        const bool accepted = m.Accept(id);
        if (accepted) m.Rollback(1);
        EXPECT_EQ(accepted, Allowed(bits, id))
            << "token " << id << " [" << TestTokenizer().BytesOf(id) << "] behind " << text;
      }
    }
    if (allowed.empty()) {
      ADD_FAILURE() << "nothing may follow " << text;
      return text;
    }
    TokenId pick = allowed[random.Below(allowed.size())];
    if (m.Done() && step > 5) pick = *TestTokenizer().eos();
    if (step > 60) {  // what closes brackets and quotes, if it may
      for (const TokenId id : allowed) {
        const std::string_view bytes = TestTokenizer().BytesOf(id);
        if (bytes == "\"" || bytes == "]" || bytes == "}") pick = id;
      }
    }
    EXPECT_TRUE(m.Accept(pick));
    if (m.finished()) return text;
    text += TestTokenizer().BytesOf(pick);
  }
  return "";  // did not end in time
}

// --- JSON Schema said plainly: what random walks are held against.

bool Valid(const Json& schema, const Json& v, const Json& root) {
  if (schema.is_boolean()) return schema.get<bool>();
  if (schema.contains("$ref")) {
    const std::string ref = schema["$ref"];
    return Valid(ref == "#" ? root : root.at(Json::json_pointer(ref.substr(1))), v, root);
  }
  const auto is = [&](const std::string& type) {
    return type == "null"      ? v.is_null()
           : type == "boolean" ? v.is_boolean()
           : type == "string"  ? v.is_string()
           : type == "array"   ? v.is_array()
           : type == "object"  ? v.is_object()
           : type == "number"
               ? v.is_number()
               : v.is_number_integer() ||
                     (v.is_number() && v.get<double>() == std::floor(v.get<double>()));
  };
  if (schema.contains("type")) {
    const Json& type = schema["type"];
    bool any = false;
    for (const Json& t : type.is_array() ? type : Json::array({type})) any |= is(t);
    if (!any) return false;
  }
  if (schema.contains("enum") &&
      std::find(schema["enum"].begin(), schema["enum"].end(), v) == schema["enum"].end()) {
    return false;
  }
  if (schema.contains("const") && v != schema["const"]) return false;
  for (const char* key : {"anyOf", "oneOf"}) {
    if (!schema.contains(key)) continue;
    bool any = false;
    for (const Json& s : schema[key]) any |= Valid(s, v, root);
    if (!any) return false;
  }
  if (schema.contains("allOf")) {
    for (const Json& s : schema["allOf"]) {
      if (!Valid(s, v, root)) return false;
    }
  }
  const auto number = [&](const char* key, double otherwise) {
    return schema.contains(key) ? schema[key].get<double>() : otherwise;
  };
  if (v.is_number()) {
    const double d = v.get<double>();
    if (d < number("minimum", d) || d > number("maximum", d)) return false;
    if (schema.contains("exclusiveMinimum") && d <= number("exclusiveMinimum", 0)) return false;
    if (schema.contains("exclusiveMaximum") && d >= number("exclusiveMaximum", 0)) return false;
    if (schema.contains("multipleOf")) {
      const double times = d / number("multipleOf", 1);
      if (std::abs(times - std::round(times)) > 1e-6 * std::max(1.0, std::abs(times))) return false;
    }
  }
  if (v.is_string()) {
    double length = 0;
    for (const char c : v.get<std::string>()) length += (c & 0xC0) != 0x80;
    if (length < number("minLength", 0) || length > number("maxLength", 1e9)) return false;
    if (schema.contains("pattern")) {
      const auto regex = *model::SplitRegex::Create(schema["pattern"].get<std::string>());
      if (regex->FindAll(v.get<std::string>()).empty()) return false;
    }
  }
  if (v.is_array()) {
    const auto size = static_cast<double>(v.size());
    if (size < number("minItems", 0) || size > number("maxItems", 1e9)) return false;
    const size_t prefix = schema.contains("prefixItems") ? schema["prefixItems"].size() : 0;
    for (size_t i = 0; i < v.size(); ++i) {
      const Json rest = schema.contains("items") ? schema["items"] : Json(true);
      if (!Valid(i < prefix ? schema["prefixItems"][i] : rest, v[i], root)) return false;
    }
  }
  if (v.is_object()) {
    const Json properties = schema.contains("properties") ? schema["properties"] : Json::object();
    if (schema.contains("required")) {
      for (const Json& name : schema["required"]) {
        if (!v.contains(name.get<std::string>())) return false;
      }
    }
    for (const auto& [name, member] : v.items()) {
      const Json more =
          schema.contains("additionalProperties") ? schema["additionalProperties"] : Json(true);
      bool found = properties.contains(name);
      if (found && !Valid(properties[name], member, root)) return false;
      if (schema.contains("patternProperties")) {
        for (const auto& [pattern, inside] : schema["patternProperties"].items()) {
          if ((*model::SplitRegex::Create(pattern))->FindAll(name).empty()) continue;
          found = true;
          if (!Valid(inside, member, root)) return false;
        }
      }
      if (!found && !Valid(more, member, root)) return false;
      if (schema.contains("propertyNames") && !Valid(schema["propertyNames"], name, root))
        return false;
    }
  }
  return true;
}

Json RandomSchema(Random& random, int depth) {
  const auto chance = [&](double p) { return random.Chance(p); };
  switch (random.Below(depth > 0 ? 11 : 6)) {
    case 0: {
      Json s = {{"type", "string"}};
      if (chance(0.3)) s["minLength"] = random.Below(4);
      if (chance(0.3)) s["maxLength"] = 4 + random.Below(5);
      return s;
    }
    case 1: {
      Json s = {{"type", "integer"}};
      const int64_t low = random.Between(-1200, 1200);
      if (chance(0.6)) s["minimum"] = low;
      if (chance(0.6)) s["maximum"] = low + static_cast<int64_t>(random.Below(500));
      if (chance(0.2)) s = {{"type", "integer"}, {"multipleOf", random.Between(1, 30)}};
      return s;
    }
    case 2: {
      Json s = {{"type", "number"}};
      const double low = static_cast<double>(random.Between(-5000, 5000)) / 100;
      if (chance(0.5)) s[chance(0.5) ? "minimum" : "exclusiveMinimum"] = low;
      if (chance(0.5)) s[chance(0.5) ? "maximum" : "exclusiveMaximum"] = low + 1.25;
      if (chance(0.2)) s = {{"type", "number"}, {"multipleOf", 0.01}, {"minimum", 0}};
      return s;
    }
    case 3:
      return {{"enum", {"a", "ab\n", 3, nullptr, true, {{"x", 1}}}}};
    case 4:
      return {{"type", {"boolean", "null"}}};
    case 5: {
      Json s = {{"type", "string"},
                {"pattern", chance(0.5) ? "^[a-c]{2,4}(x|\"\\\\d)?$" : "^\\w+ [^ ]*$"}};
      if (chance(0.5)) s["maxLength"] = 5;
      return s;
    }
    case 6:
    case 7: {
      Json s = {{"type", "object"}, {"properties", Json::object()}, {"required", Json::array()}};
      for (const char* name : {"a", "ab", "name", "é\"", "z"}) {
        if (!chance(0.5)) continue;
        s["properties"][name] = RandomSchema(random, depth - 1);
        if (chance(0.5)) s["required"].push_back(name);
      }
      if (chance(0.7)) {
        s["additionalProperties"] = chance(0.6) ? Json(false) : RandomSchema(random, depth - 1);
      }
      return s;
    }
    case 8: {
      Json s = {{"type", "array"}};
      if (chance(0.8)) s["items"] = RandomSchema(random, depth - 1);
      if (chance(0.4)) s["prefixItems"] = {RandomSchema(random, depth - 1), {{"type", "null"}}};
      if (chance(0.4)) s["minItems"] = random.Below(4);
      if (chance(0.4)) s["maxItems"] = 3 + random.Below(3);
      return s;
    }
    case 9:
      return {{chance(0.5) ? "anyOf" : "oneOf",
               {RandomSchema(random, depth - 1), RandomSchema(random, depth - 1)}}};
    default:
      return {
          {"allOf",
           {{{"type", {"object", "null"}}, {"properties", {{"a", {{"type", "integer"}}}}}},
            {{"required", {"a"}}, {"type", "object"}, {"properties", {{"a", {{"minimum", 3}}}}}}}}};
  }
}

// A value that is valid more often than not; the caller asks Valid().
Json RandomInstance(Random& random, const Json& schema, int depth) {
  if (schema.is_boolean())
    return random.Chance(0.5) ? Json("free") : Json::array({1, Json::object()});
  if (schema.contains("enum")) return schema["enum"][random.Below(schema["enum"].size())];
  for (const char* key : {"anyOf", "oneOf"}) {
    if (schema.contains(key)) return RandomInstance(random, schema[key][random.Below(2)], depth);
  }
  if (schema.contains("allOf")) return {{"a", random.Between(0, 9)}, {"more", nullptr}};
  std::string type = "string";
  if (schema.contains("type")) {
    type = schema["type"].is_array()
               ? schema["type"][random.Below(schema["type"].size())].get<std::string>()
               : schema["type"].get<std::string>();
  }
  if (type == "null") return nullptr;
  if (type == "boolean") return random.Chance(0.5);
  const auto low = [&](const char* a, const char* b) {
    return schema.contains(a)   ? schema[a].get<double>()
           : schema.contains(b) ? schema[b].get<double>()
                                : 0;
  };
  if (type == "integer") {
    const double from = schema.contains("minimum") ? low("minimum", "") : low("maximum", "") - 40;
    return static_cast<int64_t>(from) + random.Between(-1, 41);
  }
  if (type == "number") {
    double from = low("minimum", "exclusiveMinimum");
    if (from == 0) from = low("maximum", "exclusiveMaximum") - 1;
    return std::round((from + random.Uniform() * 1.5) * 1000) / 1000;
  }
  if (type == "array") {
    Json list = Json::array();
    for (size_t i = random.Below(5); i > 0; --i) {
      const size_t at = list.size();
      const bool prefix = schema.contains("prefixItems") && at < schema["prefixItems"].size();
      list.push_back(RandomInstance(random,
                                    prefix                     ? schema["prefixItems"][at]
                                    : schema.contains("items") ? schema["items"]
                                                               : Json(true),
                                    depth - 1));
    }
    return list;
  }
  if (type == "object") {
    Json object = Json::object();
    for (const auto& [name, s] : schema["properties"].items()) {
      if (random.Chance(0.8)) object[name] = RandomInstance(random, s, depth - 1);
    }
    if (random.Chance(0.3)) {
      object["abc\t"] = RandomInstance(
          random,
          schema.contains("additionalProperties") ? schema["additionalProperties"] : Json(true),
          depth - 1);
    }
    return object;
  }
  static const char* kStrings[] = {"",
                                   "a",
                                   "ab",
                                   "abc",
                                   "abcd",
                                   "é日🙂",
                                   "a \"q\" \\ /",
                                   "aax",
                                   "bc\"1",
                                   "x y",
                                   "line\nbreak\u0001"};
  return kStrings[random.Below(std::size(kStrings))];
}

TEST(JsonSchema, RandomWalksParseAndAreValid) {
  Random random(Seed());
  SCOPED_TRACE(fmt::format("SEED={}", Seed()));
  int ended = 0;
  for (int round = 0; round < 40; ++round) {
    const Json schema = RandomSchema(random, 3);
    Result<GrammarPtr> grammar = CompileJsonSchema(TestVocabulary(), schema.dump());
    if (!grammar) {  // some contradict themselves
      ASSERT_NE(grammar.error().message().find("no text has this form"), std::string::npos)
          << schema << grammar.error().ToString();
      continue;
    }
    for (int walk = 0; walk < 4; ++walk) {
      const std::string text = RandomWalk(*grammar, random, walk == 0 ? 9 : 0);
      if (text.empty()) continue;
      ++ended;
      const Json value = Json::parse(text, nullptr, false);
      ASSERT_FALSE(value.is_discarded()) << text << "\n" << schema;
      ASSERT_TRUE(Valid(schema, value, schema)) << text << "\n" << schema;
    }
  }
  EXPECT_GT(ended, 60);
}

TEST(JsonSchema, EveryValidDocumentIsAccepted) {
  Random random(Seed() + 1);
  SCOPED_TRACE(fmt::format("SEED={}", Seed() + 1));
  int valid = 0, invalid = 0;
  for (int round = 0; round < 120; ++round) {
    const Json schema = RandomSchema(random, 2);
    Result<GrammarPtr> grammar = CompileJsonSchema(TestVocabulary(), schema.dump());
    if (!grammar) continue;
    for (int i = 0; i < 8; ++i) {
      const Json value = RandomInstance(random, schema, 3);
      const bool ok = Valid(schema, value, schema);
      ++(ok ? valid : invalid);
      ASSERT_EQ(Has(*grammar, value.dump()), ok) << value << "\n" << schema;
      if (i == 0) {
        ASSERT_EQ(Has(*grammar, value.dump(2)), ok) << value.dump(2) << "\n" << schema;
      }
    }
  }
  fmt::print("{} valid, {} invalid\n", valid, invalid);
  EXPECT_GT(valid, 200);
  EXPECT_GT(invalid, 50);
}

TEST(JsonSchema, NumbersAreBoundedExactly) {
  Random random(Seed());
  SCOPED_TRACE(fmt::format("SEED={}", Seed()));
  for (int round = 0; round < 25; ++round) {
    const int64_t low = random.Between(-250, 250),
                  high = low + static_cast<int64_t>(random.Below(120));
    const bool no_low = round % 5 == 3, no_high = round % 5 == 4;
    Json schema = {{"type", "integer"}};
    if (!no_low) schema["minimum"] = low;
    if (!no_high) schema["exclusiveMaximum"] = high;
    const GrammarPtr grammar = high > low || no_low || no_high ? Schema(schema.dump()) : nullptr;
    if (grammar == nullptr) continue;
    for (int64_t i = -400; i <= 400; ++i) {
      ASSERT_EQ(Has(grammar, fmt::format("{}", i)), (no_low || i >= low) && (no_high || i < high))
          << i << " " << schema;
    }
  }
  for (int round = 0; round < 40; ++round) {
    const double scale = round % 2 ? 1000 : 10;
    const int64_t low = random.Between(-3000, 3000),
                  high = low + static_cast<int64_t>(random.Below(2500));
    const bool open_low = round % 3 == 0, open_high = round % 4 == 0;
    Json schema = {{"type", "number"}};
    schema[open_low ? "exclusiveMinimum" : "minimum"] = static_cast<double>(low) / scale;
    schema[open_high ? "exclusiveMaximum" : "maximum"] = static_cast<double>(high) / scale;
    Result<GrammarPtr> grammar = CompileJsonSchema(TestVocabulary(), schema.dump());
    for (int i = 0; i < 60; ++i) {
      // Near the bounds, with 0 to 2 more digits, and with zeros behind.
      const int64_t near = (i % 2 ? low : high) * 100 + random.Between(-150, 150);
      const int64_t thousandths =
          near * 10 / static_cast<int64_t>(scale / 100 < 1 ? 1 : scale / 100);
      (void)thousandths;
      const double value = static_cast<double>(near) / (scale * 100);
      std::string text = fmt::format("{:.5f}", value);
      const double exact = std::strtod(text.c_str(), nullptr);
      const bool inside =
          (open_low ? exact * scale * 100 > static_cast<double>(low * 100) + 1e-7
                    : exact * scale * 100 >= static_cast<double>(low * 100) - 1e-7) &&
          (open_high ? exact * scale * 100 < static_cast<double>(high * 100) - 1e-7
                     : exact * scale * 100 <= static_cast<double>(high * 100) + 1e-7);
      if (text == "-0.00000") continue;
      const bool has = grammar && Has(*grammar, text);
      ASSERT_EQ(has, inside) << text << " " << schema;
    }
  }
}

TEST(JsonSchema, FormatsTakeWhatTheyShould) {
  const struct {
    const char* format;
    std::vector<const char*> good, bad;
  } rows[] = {
      {"date",
       {"2024-02-29", "2000-02-29", "1999-12-31"},
       {"2023-02-29", "1900-02-29", "2024-13-01", "2024-04-31"}},
      {"time", {"23:59:59Z", "01:02:03.5+02:00"}, {"24:00:00Z", "01:02:03"}},
      {"date-time", {"2024-01-31T00:00:00Z"}, {"2024-01-31 00:00:00Z"}},
      {"uuid", {"123e4567-e89b-12d3-a456-426614174000"}, {"123e4567e89b12d3a456426614174000"}},
      {"email", {"a.b+c@ex-ample.org"}, {"a@b", "@b.c", "a b@c.d"}},
      {"ipv4", {"0.0.0.0", "255.1.22.199"}, {"256.1.1.1", "1.2.3", "01.2.3.4"}},
      {"ipv6", {"::", "::1", "1:2:3:4:5:6:7:8", "fe80::a:b"}, {"1:2:3", ":::", "1::2::3"}},
      {"hostname", {"a", "a-b.c9"}, {"-a", "a..b"}},
      {"uri", {"https://a.b/c?d=%20#e", "mailto:x@y"}, {"no uri", "http://a b", "a:%zz"}},
      {"duration", {"P1Y2M3DT4H", "PT1S", "P2W"}, {"P", "1Y", "PT"}},
  };
  for (const auto& row : rows) {
    const GrammarPtr grammar =
        Schema(fmt::format(R"({{"type":"string","format":"{}"}})", row.format));
    for (const char* text : row.good)
      EXPECT_TRUE(Has(grammar, Json(text).dump())) << row.format << " " << text;
    for (const char* text : row.bad)
      EXPECT_FALSE(Has(grammar, Json(text).dump())) << row.format << " " << text;
  }
}

TEST(JsonSchema, ReferencesRecur) {
  const GrammarPtr tree = Schema(R"({"$ref":"#/$defs/node","$defs":{"node":{"type":"object",
    "properties":{"v":{"type":"integer"},"kids":{"type":"array","items":{"$ref":"#/$defs/node"}}},
    "required":["v"],"additionalProperties":false}}})");
  EXPECT_TRUE(Has(tree, R"({"v":1,"kids":[{"v":2},{"v":3,"kids":[{"v":4}]}]})"));
  EXPECT_FALSE(Has(tree, R"({"v":1,"kids":[{"w":2}]})"));
  std::string deep, end;
  for (int i = 0; i < 60; ++i) deep += R"({"v":1,"kids":[)", end += "]}";
  EXPECT_TRUE(Has(tree, deep + end));
  const GrammarPtr list = Schema(
      R"({"anyOf":[{"type":"null"},{"type":"object","properties":{"next":{"$ref":"#"}},
    "required":["next"],"additionalProperties":false}]})");
  EXPECT_TRUE(Has(list, R"({"next":{"next":null}})"));
}

// What pydantic and zod write for dictionaries, prices, e-mail addresses and unions.
TEST(JsonSchema, WhatClientLibrariesWrite) {
  const struct {
    const char *schema, *fits, *does_not;
  } rows[] = {
      {R"({"type":"object","propertyNames":{"type":"string"},"additionalProperties":{"type":"integer"}})",
       R"({"a":1,"b":2})", R"({"a":"x"})"},
      {R"({"type":"object","propertyNames":{"type":"string","enum":["a","b"]},
           "additionalProperties":{"type":"integer"},"required":["a","b"]})",
       R"({"a":1,"b":2})", R"({"a":1})"},
      {R"({"type":"object","propertyNames":{"pattern":"^[a-z]+$","maxLength":3},
           "additionalProperties":{"type":"null"}})",
       R"({"abc":null,"d":null})", R"({"abcd":null})"},
      {R"({"type":"object","propertyNames":{"pattern":"^a"},"additionalProperties":false})", "{}",
       R"({"a":1})"},
      {R"({"type":"object","patternProperties":{"^n_":{"type":"integer"}},"additionalProperties":{"type":"null"}})",
       R"({"n_x":5,"y":null})", R"({"n_x":null})"},
      {R"({"type":"object","patternProperties":{"^n_":{"type":"integer"}},"additionalProperties":false})",
       R"({"n_x":5})", R"({"y":5})"},
      {R"({"type":"string","format":"email",
           "pattern":"^(?!\\.)(?!.*\\.\\.)([A-Za-z0-9_'+\\-\\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\\-]*\\.)+[A-Za-z]{2,}$"})",
       R"("ann.b@a-b.example.org")", R"("ann..b@example.org")"},
      {R"({"type":"string","pattern":"^[A-Z]","minLength":3,"maxLength":5})", R"("Abcde")",
       R"("Abcdef")"},
      {R"({"type":"string","format":"cuid","pattern":"^c[a-z]{3}$"})", R"("cabc")", R"("dabc")"},
      {R"({"type":"string","format":"base64"})", R"("aGk=")", R"("aGk")"},
      {R"({"type":"string","format":"password"})", R"("any thing")", "1"},
      {R"({"type":"number","multipleOf":0.01,"minimum":0})", "19.99", "19.999"},
      {R"({"type":"integer","multipleOf":7})", "-49", "50"},
      {R"({"type":"integer","minimum":0,"maximum":100,"multipleOf":25})", "75", "80"},
      {R"({"type":"integer","exclusiveMinimum":0,"multipleOf":5})", "105", "0"},
      {R"({"oneOf":[{"$ref":"#/$defs/Cat"},{"$ref":"#/$defs/Dog"}],
           "discriminator":{"propertyName":"kind","mapping":{"cat":"#/$defs/Cat"}},
           "$defs":{"Cat":{"type":"object","properties":{"kind":{"const":"cat","type":"string"}},"required":["kind"]},
                    "Dog":{"type":"object","properties":{"kind":{"const":"dog","type":"string"}},"required":["kind"]}}})",
       R"({"kind":"dog"})", R"({"kind":"cow"})"},
  };
  for (const auto& row : rows) {
    const GrammarPtr form = Schema(row.schema);
    ASSERT_TRUE(form) << row.schema;
    EXPECT_TRUE(Has(form, row.fits)) << row.schema;
    EXPECT_FALSE(Has(form, row.does_not)) << row.schema;
  }
}

// Every short text over a few characters, against the matcher of pre-tokenizers.
TEST(JsonSchema, APatternWithALengthOrALookAheadIsBoth) {
  constexpr const char* kPatterns[] = {
      "^a*b$",    "a.b",          "^(?!a)",  "^(?=.*b)(?!.*aa)", "^(?!.*b$)a",
      "(a|bb)+$", "^(ab?){2}|b$", "^[^a]*$", "^(?!b)(?=a|.1)"};
  constexpr std::string_view kLetters = "ab1";
  for (const char* pattern : kPatterns) {
    const Json schema = {
        {"type", "string"}, {"pattern", pattern}, {"minLength", 1}, {"maxLength", 4}};
    const GrammarPtr form = Schema(schema.dump());
    ASSERT_TRUE(form);
    const auto oracle = *model::SplitRegex::Create(pattern);
    for (int n = 0; n < 3 * 3 * 3 * 3 * 3 * 3; ++n) {
      std::string text;
      for (int left = n; left > 0; left /= 4) {
        if (left % 4 > 0) text += kLetters[static_cast<size_t>(left % 4 - 1)];
      }
      const bool expected = text.size() >= 1 && text.size() <= 4 && !oracle->FindAll(text).empty();
      EXPECT_EQ(Has(form, '"' + text + '"'), expected) << pattern << " on [" << text << "]";
    }
  }
}

TEST(JsonSchema, WhatIsNotOfferedIsRefusedByName) {
  const struct {
    const char *schema, *named;
  } rows[] = {
      {R"({"type":"array","uniqueItems":true})", "uniqueItems"},
      {R"({"not":{"type":"null"}})", "not"},
      {R"({"not":{}})", "no text has this form"},
      {R"({"properties":{"a":{"type":"object","minProperties":1}}})", "/properties/a"},
      {R"({"type":"object","patternProperties":{"^a":{},"b$":{}}})", "more than one"},
      {R"({"type":"object","properties":{"a":{}},"propertyNames":{"pattern":"^a"}})", "beside"},
      {R"({"allOf":[{"type":"object","patternProperties":{"^a":{}}},{"additionalProperties":false}]})",
       "another schema"},
      {R"({"type":"number","multipleOf":0.25})", "multipleOf 0.25"},
      {R"({"type":"integer","multipleOf":7,"minimum":3})", "multipleOf 7"},
      {R"({"type":"integer","multipleOf":0})", "above zero"},
      {R"j({"type":"string","pattern":"^a*(?=b)","maxLength":3})j", "look-ahead"},
      {R"({"type":"string","pattern":"x.{900}y","maxLength":5000})", "states"},
      {R"({"type":"string","format":"iri"})", "iri"},
      {R"({"type":"strin"})", "type"},
      {R"({"$ref":"http://x"})", "http://x"},
      {R"({"$ref":"#/$defs/gone"})", "points to nothing"},
      {R"({"type":"string","pattern":"(?=a)b"})", "look-ahead"},
      {R"({"type":"string","maxLength":1000000})", "maxLength"},
      {R"({"type":"object","properties":{"a":false},"required":["a"]})", "no text has this form"},
      {R"({"$ref":"#"})", "no text has this form"},
      {R"([1])", "a schema is an object"},
      {R"({)", "no JSON"},
      {R"({"type":"string","minLengt":1})", "minLengt"},
  };
  for (const auto& row : rows) {
    const Status status = CheckJsonSchema(row.schema);
    ASSERT_FALSE(status) << row.schema;
    EXPECT_NE(status.error().ToString().find(row.named), std::string::npos)
        << row.schema << ": " << status.error().ToString();
  }
  EXPECT_FALSE(CheckJsonSchema(std::string(100000, '[')));
}

TEST(JsonSchema, OptionsHoldWhatTheySay) {
  const std::string schema = R"({"type":"object","properties":{"a":{"type":"null"}}})";
  EXPECT_TRUE(Has(Schema(schema), R"({"a": null, "b": 1})"));
  EXPECT_FALSE(Has(Schema(schema, {.additional_properties = false}), R"({"a": null, "b": 1})"));
  EXPECT_FALSE(Has(Schema(schema, {.whitespace = false}), R"({"a": null})"));
  EXPECT_TRUE(Has(Schema(schema, {.whitespace = false}), R"({"a":null})"));
  EXPECT_FALSE(Has(Schema(schema), R"({"a": 1, "a": null})"));
  const GrammarPtr object = *CompileJsonObject(TestVocabulary());
  EXPECT_TRUE(Has(object, R"({"a": [1, "x", {"y": null}], "é": -0.5e+10})"));
  EXPECT_FALSE(Has(object, "[1]"));
  EXPECT_TRUE(Has(*CompileJsonValue(TestVocabulary()), "[1]"));
  EXPECT_FALSE(Has(object, "{\"a\": \"\\ud800\"}"));
}

TEST(Regex, TakesWhatTheBacktrackingMatcherTakes) {
  static const char* kPatterns[] = {"a*b|ab?c",
                                    "(a|b)*abb",
                                    "[^ab]+",
                                    "(ab){2,3}c?",
                                    "a{0,3}b{2}",
                                    "((a|bc)(d|e)?)+",
                                    "\\d+(\\.\\d{1,2})?",
                                    "é+|日本?",
                                    "(a*)*b",
                                    ".{2,4}",
                                    "[a-c&&[b]]?x|",
                                    "^ab$|c"};
  Random random(Seed());
  SCOPED_TRACE(fmt::format("SEED={}", Seed()));
  for (const char* pattern : kPatterns) {
    if (std::string_view(pattern).find("&&") != std::string_view::npos) continue;
    Result<GrammarPtr> grammar = CompileRegex(TestVocabulary(), pattern);
    ASSERT_TRUE(grammar) << pattern << grammar.error().ToString();
    const auto oracle = *model::SplitRegex::Create(fmt::format("\\A(?:{})\\z", pattern));
    static const char* kParts[] = {"a", "b", "c", "ab", "d", "1", "2.", "é", "日", "本", "x", " "};
    int yes = 0;
    for (int i = 0; i < 300; ++i) {
      std::string text;
      for (size_t n = random.Below(7); n > 0; --n) text += kParts[random.Below(std::size(kParts))];
      const bool expected = !oracle->FindAll(text).empty();
      yes += expected;
      ASSERT_EQ(Has(*grammar, text), expected) << pattern << " on [" << text << "]";
    }
    for (int i = 0; i < 5; ++i) {
      Matcher m(*grammar);
      const std::string text = RandomWalk(*grammar, random, 3);
      if (!text.empty()) {
        EXPECT_FALSE(oracle->FindAll(text).empty()) << pattern << " made " << text;
      }
    }
  }
  EXPECT_FALSE(CheckRegex("a(?!b)"));
  EXPECT_FALSE(CheckRegex("(a"));
  EXPECT_FALSE(CheckRegex("a$b"));
}

TEST(Ebnf, ReadsWhatLlamaCppWrites) {
  const GrammarPtr list = *CompileEbnf(TestVocabulary(), R"x(
# arithmetic
root  ::= (expr "=" ws term "\n")+
expr  ::= term ([-+*/] term)*
term  ::= ident | num | "(" ws expr ")" ws
ident ::= [a-z] [a-z0-9_]* ws
num   ::= [0-9]{1,3} ws
ws    ::= [ \t\n]*
)x");
  EXPECT_TRUE(Has(list, "a+12*(b -3)= c\n"));
  EXPECT_FALSE(Has(list, "a+1234=c\n"));
  EXPECT_FALSE(Has(list, "a+=c\n"));
  const GrammarPtr other = *CompileEbnf(TestVocabulary(), R"(root ::= "x" . [^\x00-\x7F]
  | %regex /\d\/\d/ | %json {"enum": ["q"]} | <[[TOOL_CALLS]]> "[]"
)");
  EXPECT_TRUE(Has(other, "xyé"));
  EXPECT_FALSE(Has(other, "xyz"));
  EXPECT_TRUE(Has(other, "1/2"));
  EXPECT_TRUE(Has(other, "\"q\""));
  EXPECT_FALSE(Has(other, "[TOOL_CALLS][]"));  // as text it is only text
  Matcher m(other);
  const TokenId marker = *TestTokenizer().Find("[TOOL_CALLS]");
  EXPECT_TRUE(Allowed(MaskOf(m), marker));
  EXPECT_TRUE(m.Accept(marker));
  EXPECT_EQ(m.Forced(10), "[]");
  EXPECT_TRUE(m.AcceptText("[]"));
  EXPECT_TRUE(m.Done());
}

// A rule whose last call may read nothing was not known to be over.
TEST(Ebnf, ARuleMayEndInACallThatReadsNothing) {
  const GrammarPtr list = *CompileEbnf(TestVocabulary(), R"x(root ::= "a" rest | "(" root ")"
rest ::= ("b" rest "c" rest)?)x");
  for (const char* text : {"a", "abc", "(a)", "((abbccbc))"}) EXPECT_TRUE(Has(list, text)) << text;
  for (const char* text : {"ab", "(a", "(abb)"}) EXPECT_FALSE(Has(list, text)) << text;
}
TEST(Ebnf, ErrorsNameLineAndColumn) {
  const struct {
    const char *text, *expected;
  } rows[] = {
      {"", "no rule named root"},
      {"root ::= a", "grammar:1:10: the rule a is not defined"},
      {"root ::= item\nitme ::= \"x\"", "did you mean itme"},
      {"root ::= \"a\nb ::= \"c\"", "grammar:1:12"},
      {"root ::= (\"a\"", "( without"},
      {"root ::= [a", "[ without"},
      {"root ::= \"a\"{3,1}", "swapped"},
      {"root ::= \"\\q\"", "no escape"},
      {"root ::= root \"a\" | \"b\"", "calls itself before"},
      {"root ::= \"a\"\nroot ::= \"b\"", "stands twice"},
      {"root ::= \"a\" root", "no text has this form"},
      {"root ::= %json {\"type\": 3}", "grammar:1:16"},
      {"root ::= ]", "begins no part"},
      {"= x", "name is expected"},
  };
  for (const auto& row : rows) {
    const Status status = CheckEbnf(row.text);
    ASSERT_FALSE(status) << row.text;
    EXPECT_NE(status.error().ToString().find(row.expected), std::string::npos)
        << row.text << ": " << status.error().ToString();
  }
}

TEST(Matcher, ForksAndGoesBack) {
  const GrammarPtr grammar =
      Schema(R"({"type":"object","properties":{"a":{"type":"array"}},"required":["a"]})");
  Matcher m(grammar);
  const std::vector<TokenId> ids = TestTokenizer().Encode(R"({"a": [1, [2, "x"], {}], "b": null})");
  std::vector<std::vector<uint32_t>> masks;
  for (const TokenId id : ids) {
    masks.push_back(MaskOf(m));
    ASSERT_TRUE(m.Accept(id));
  }
  Matcher fork = m;
  for (size_t back = 1; back <= ids.size(); ++back) {
    fork.Rollback(1);
    EXPECT_EQ(MaskOf(fork), masks[ids.size() - back]);
  }
  EXPECT_TRUE(m.Done());
  EXPECT_TRUE(m.Accept(*TestTokenizer().eos()));
  EXPECT_TRUE(m.finished());
  EXPECT_FALSE(m.Accept(ids[0]));
  m.Rollback(1);
  EXPECT_FALSE(m.finished());
  m.Rollback(static_cast<int>(ids.size()));
  EXPECT_EQ(MaskOf(m), masks[0]);
  EXPECT_EQ(m.Forced(100), "{");
}

TEST(Matcher, AnEndlessTextKeepsItsBounds) {
  Matcher m(*CompileJsonValue(TestVocabulary()));
  ASSERT_TRUE(m.AcceptText("["));
  for (int i = 0; i < 3000; ++i) {
    ASSERT_TRUE(m.AcceptText(i % 3 ? "[[1, {\"a\": 2}], " : "\"text\", "));
    if (i % 500 == 0) MaskOf(m);
    if (i % 3) {
      ASSERT_TRUE(m.AcceptText("3], "));
    }
  }
  // As deep as it goes: further brackets may not follow, and the mask says so.
  Matcher deep(*CompileJsonValue(TestVocabulary()));
  int depth = 0;
  while (depth < 5000 && deep.AcceptText("[")) ++depth;
  EXPECT_GT(depth, 300);
  EXPECT_LT(depth, 5000);
  const auto bits = MaskOf(deep);
  for (TokenId id = 0; id < TestTokenizer().vocab_size(); ++id) {
    const bool accepted = deep.Accept(id);
    if (accepted) deep.Rollback(1);
    ASSERT_EQ(accepted, Allowed(bits, id)) << TestTokenizer().BytesOf(id);
  }
}

TEST(Matcher, PrintsItsSpeed) {
  const GrammarPtr grammar = Schema(R"({"type":"object","properties":{"name":{"type":"string"},
     "tags":{"type":"array","items":{"type":"string"}},"n":{"type":"number"}},"required":["name","tags","n"]})");
  const std::vector<TokenId> ids = TestTokenizer().Encode(
      R"({"name": "somebody with a long name", "tags": ["a", "bb", "ccc"], "n": 12.5})");
  std::vector<uint32_t> bits(MaskWords(TestTokenizer().vocab_size()));
  for (int round = 0; round < 2; ++round) {
    Matcher m(grammar);
    const auto start = std::chrono::steady_clock::now();
    for (const TokenId id : ids) {
      m.Mask(bits);
      ASSERT_TRUE(m.Accept(id));
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    fmt::print("{} masks, {}: {:.1f} us each\n", ids.size(), round ? "warm" : "cold",
               1e6 * took.count() / static_cast<double>(ids.size()));
  }
}

}  // namespace
}  // namespace weir::grammar
