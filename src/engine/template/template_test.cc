#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/random.h"
#include "engine/template/chat_template.h"
#include "engine/template/tool_calls.h"

namespace weir::templates {
namespace {

using Json = nlohmann::ordered_json;

Result<std::string> Render(std::string_view source, const Json& variables = Json::object(),
                           const RenderOptions& options = {}) {
  const ChatTemplate made = TRY(ChatTemplate::Parse(source));
  return made.Render(variables, options);
}
std::string Text(std::string_view source, const Json& variables = Json::object()) {
  const Result<std::string> text = Render(source, variables);
  return text ? *text : "ERROR " + text.error().ToString();
}

// What Jinja2 made of the same templates; testdata/make_cases.py is the script.
TEST(ChatTemplate, EqualsJinja2) {
  const char* source = std::getenv("WEIR_SOURCE");
  if (source == nullptr) GTEST_SKIP() << "WEIR_SOURCE is not set";
  std::ifstream file(std::string(source) + "/src/engine/template/testdata/cases.json");
  const Json all = Json::parse(file);
  RenderOptions options;
  options.now_s = all["now_s"];
  int equal = 0;
  for (const Json& one : all["cases"]) {
    const std::string name = one["name"];
    const Json& variables = one["variables"].is_string() ? all["data"] : one["variables"];
    const Result<std::string> text = Render(one["template"].get<std::string>(), variables, options);
    if (one.contains("refused")) {
      EXPECT_FALSE(text) << name << " gave " << (text ? *text : "");
      continue;
    }
    ASSERT_TRUE(text) << name << ": " << text.error().ToString() << "\n" << one["template"];
    EXPECT_EQ(*text, one["expected"].get<std::string>()) << name << "\n" << one["template"];
    ++equal;
  }
  EXPECT_GT(equal, 100);
}

TEST(ChatTemplate, ErrorsNameLineAndColumn) {
  const struct {
    const char *source, *expected;
  } rows[] = {
      {"{{ x", "template:1:1: {{ without its }}"},
      {"a\n {% if x %}\nb", "endif"},
      {"{% if %}", "template:1:7: unexpected %}"},
      {"\n\n  {{ x y }}", "template:3:8: }} is expected"},
      {"{{ 'abc }}", "template:1:4: a string without"},
      {"{% nonsense %}", "the tag {% nonsense %} is not offered"},
      {"{{ x | nonsense }}", "template:1:6: the filter nonsense is not known"},
      {"{{ x is nonsense }}", "the test nonsense is not known"},
      {"{{ a.b.c }}", "a is undefined, so it has no b"},
      {"{{ f() }}", "f is not defined"},
      {"{{ 'a' + 1 }}", "template:1:8: '+' between str and int"},
      {"{{ 1 // 0 }}", "division by zero"},
      {"{{ raise_exception('no such role') }}", "template:1:19: no such role"},
      {"{{ 9223372036854775807 + 1 }}", "beyond 64 bits"},
      {"{% for x in 5 %}{% endfor %}", "a int cannot be iterated"},
      {"{{ [1].append(2) }}", "would change a list"},
      {"{% set a.b = 1 %}", "a is no namespace"},
      {"{{ ( }}", "unexpected"},
      {"{{ ) }}", "template:1:4: unexpected ')'"},
      {"{# no end", "a comment {# without its #}"},
      {"{% endif %}", "not offered"},
      {"{% break %}", "outside of a loop"},
      {"{{ x | tojson }}", "x, which is undefined"},
      {"{{ [2, 'a'] | sort }}", "different kinds"},
      {"{{ ''.join([1]) }}", "join of a int"},
  };
  for (const auto& row : rows) {
    const Result<std::string> text = Render(row.source);
    ASSERT_FALSE(text) << row.source << " gave " << *text;
    EXPECT_NE(text.error().ToString().find(row.expected), std::string::npos)
        << row.source << ": " << text.error().ToString();
  }
}

TEST(ChatTemplate, HostileTemplatesMeetTheirBounds) {
  RenderOptions small;
  small.limits = {.steps = 20000, .output_bytes = 1 << 16, .memory_bytes = 1 << 22};
  const std::string deep(5000, '('), nots = [] {
    std::string s;
    for (int i = 0; i < 5000; ++i) s += "not ";
    return s;
  }();
  std::string chain = "{{ 1", blocks;
  for (int i = 0; i < 100000; ++i) chain += " + 1";
  for (int i = 0; i < 5000; ++i) blocks += "{% if x %}";
  const std::string sources[] = {
      "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% "
      "endfor %}",
      "{% set ns = namespace(x='a') %}{% for a in range(99) %}{% set ns.x = "
      "ns.x + ns.x %}{% endfor %}",
      "{{ 'a' * 1000000000000 }}",
      "{{ [1] * 1000000000000 }}",
      "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
      "{% set ns = namespace(x=[]) %}{% for a in range(9999) %}{% set ns.x = "
      "[ns.x] %}{% endfor %}",
      "{{ range(1000000000) }}",
      "{{ '%1000d' % 1 * 1000 }}",
      "{{ " + deep + "1" + std::string(5000, ')') + " }}",
      "{{ " + nots + "x }}",
      chain + " }}",
      blocks,
      "{% for a in range(99999) %}aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa{% endfor "
      "%}",
      "{{ 'aaaaaaaaaa'.replace('', 'bbbbbbbbbbbbbbbbb' * 3000).replace('b', "
      "'c' * 3000) }}",
      "{% for x in [1] %}{{ loop.changed(loop) }}{{ [loop] }}{% set n = "
      "namespace(l=loop) %}{% endfor %}"
      "{{ 'a' * 100000 }}",
  };
  for (const std::string& source : sources) {
    const Result<std::string> text = Render(source, Json::object(), small);
    EXPECT_FALSE(text) << source.substr(0, 200);
  }
  Json json = 1;
  for (int i = 0; i < 1000; ++i) json = Json::array({std::move(json)});
  EXPECT_FALSE(Render("{{ x }}", {{"x", json}}));
  EXPECT_EQ(Text("{% set ns = namespace() %}{% set ns.a = ns %}{{ ns.a.a is "
                 "mapping }}"),
            "False");
}

TEST(ChatTemplate, SaysWhichVariablesItReads) {
  const ChatTemplate made = *ChatTemplate::Parse("{% if tools %}{{ tools[0].name }}{% endif %}");
  EXPECT_TRUE(made.Mentions("tools"));
  EXPECT_FALSE(made.Mentions("name"));
  EXPECT_FALSE(made.Mentions("enable_thinking"));
}

TEST(ChatTemplate, TheDefaultIsChatMl) {
  EXPECT_EQ(Text(DefaultTemplate(), {{"messages", {{{"role", "user"}, {"content", "Hi"}}}},
                                     {"add_generation_prompt", true}}),
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
}

TEST(PrepareMessages, MakesWhatTemplatesExpect) {
  const Json in = Json::parse(
      R"([{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
    {"role":"assistant","tool_calls":[{"id":"x","type":"function","function":{"name":"f","arguments":"{\"k\": [1]}"}}]},
    {"role":"assistant","content":"c","tool_calls":null}])");
  const Json out = *PrepareMessages(in);
  EXPECT_EQ(out[0]["content"], "ab");
  EXPECT_EQ(out[1]["tool_calls"][0]["function"]["arguments"], Json({{"k", {1}}}));
  EXPECT_TRUE(out[1]["content"].is_null());
  EXPECT_FALSE(out[2].contains("tool_calls"));
  for (const char* bad :
       {"{}", "[1]", R"([{"content":5}])", R"([{"content":[{"type":"image_url"}]}])",
        R"([{"content":"","tool_calls":[{"function":{"name":"f","arguments":"{"}}]}])",
        R"([{"content":"","tool_calls":[{}]}])"}) {
    EXPECT_FALSE(PrepareMessages(Json::parse(bad))) << bad;
  }
}

// --- Tool calls.

struct Parsed {
  std::string content;
  std::vector<ToolCallDelta> calls;
  bool cut = false;
  bool operator==(const Parsed& o) const {
    if (content != o.content || cut != o.cut || calls.size() != o.calls.size()) return false;
    for (size_t i = 0; i < calls.size(); ++i) {
      if (calls[i].name != o.calls[i].name || calls[i].arguments != o.calls[i].arguments ||
          calls[i].id != o.calls[i].id) {
        return false;
      }
    }
    return true;
  }
};
// In pieces as `random` cuts them; all at once without it.
Parsed Parse(ToolFormat format, std::string_view text, Random* random = nullptr) {
  ToolCallParser parser(format, {"f", "g"}, 7);
  Parsed all;
  const auto take = [&](const ToolDelta& delta) {
    all.content += delta.content;
    for (const ToolCallDelta& call : delta.calls) {
      if (!call.name.empty()) {
        EXPECT_EQ(call.index, static_cast<int>(all.calls.size()));
        all.calls.push_back(call);
      } else {
        ASSERT_EQ(call.index + 1, static_cast<int>(all.calls.size()));
        all.calls.back().arguments += call.arguments;
      }
    }
  };
  for (size_t i = 0; i < text.size();) {
    const size_t n = random == nullptr ? text.size() : 1 + random->Below(6);
    take(parser.Push(text.substr(i, n)));
    i += n;
  }
  take(parser.Finish());
  all.cut = parser.cut();
  return all;
}

TEST(ToolCalls, AreReadInEveryFormatAndInAnyPieces) {
  struct Row {
    ToolFormat format;
    std::string text, content;
    std::vector<std::pair<std::string, std::string>> calls;
    bool cut = false;
  };
  const auto H = ToolFormat::kHermes, L = ToolFormat::kLlama3, M = ToolFormat::kMistral,
             P = ToolFormat::kPlain;
  const std::string args = R"({"a": "}\"{", "b": [1, {"c": null}]})";
  const std::vector<Row> rows = {
      {H, "Just <b>text</b>.\n", "Just <b>text</b>.\n", {}},
      {H,
       "<tool_call>\n{\"name\": \"f\", \"arguments\": " + args + "}\n</tool_call>",
       "",
       {{"f", args}}},
      {H,
       "Let me see.\n\n<tool_call>\n{\"name\": \"f\", \"arguments\": "
       "{}}\n</tool_call>\n<tool_call>{\"arguments\": " +
           args + ", \"name\": \"g\"}</tool_call>\nDone",
       "Let me see.\nDone",
       {{"f", "{}"}, {"g", args}}},
      {H, "<tool_call>{\"name\": \"other\"}</tool_call>", "", {{"other", "{}"}}},
      {H,
       "<tool_call>{\"name\": \"f\", \"arguments\": \"{\\\"x\\\": "
       "1}\"}</tool_call>",
       "",
       {{"f", "{\"x\": 1}"}}},
      {H, "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": 1", "", {{"f", "{\"a\": 1"}}, true},
      {H, "<tool_call>{\"nam", "<tool_call>{\"nam", {}},
      {H, "<tool_call>no json</tool_call>", "<tool_call>no json</tool_call>", {}},
      {H, "a <tool", "a <tool", {}},
      {L, "{\"name\": \"f\", \"parameters\": " + args + "}", "", {{"f", args}}},
      {L,
       "<|python_tag|>{\"type\": \"function\", \"name\": \"f\", "
       "\"parameters\": {}}; {\"name\": \"g\", \"parameters\": {\"x\": 1}}",
       "",
       {{"f", "{}"}, {"g", "{\"x\": 1}"}}},
      {L,
       "{\"name\": \"unknown\", \"parameters\": {}}",
       "{\"name\": \"unknown\", \"parameters\": {}}",
       {}},
      {L, "{\"answer\": 42}", "{\"answer\": 42}", {}},
      {L,
       "The answer {\"name\": \"f\", \"parameters\": {}}",
       "The answer {\"name\": \"f\", \"parameters\": {}}",
       {}},
      {L, "<|python_tag|>print(1)", "<|python_tag|>print(1)", {}},
      {L, "<|pyth", "<|pyth", {}},
      {M,
       "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": " + args +
           "}, {\"name\": \"g\", \"arguments\": {}}]",
       "",
       {{"f", args}, {"g", "{}"}}},
      {M, "ok [TOOL_CALLS] []", "ok", {}},
      {M,
       "[TOOL_CALLS]f[ARGS]" + args + "[TOOL_CALLS]g{\"q\": 2}",
       "",
       {{"f", args}, {"g", "{\"q\": 2}"}}},
      {M, "plain [TOOL", "plain [TOOL", {}},
      {P, " {\"name\": \"f\", \"arguments\": " + args + "}", "", {{"f", args}}},
      {P, "x", "x", {}},
  };
  Random random(20261122);
  for (const Row& row : rows) {
    const Parsed whole = Parse(row.format, row.text);
    EXPECT_EQ(whole.content, row.content) << row.text;
    EXPECT_EQ(whole.cut, row.cut) << row.text;
    ASSERT_EQ(whole.calls.size(), row.calls.size()) << row.text;
    for (size_t i = 0; i < row.calls.size(); ++i) {
      EXPECT_EQ(whole.calls[i].name, row.calls[i].first) << row.text;
      EXPECT_EQ(whole.calls[i].arguments, row.calls[i].second) << row.text;
    }
    for (int round = 0; round < 30; ++round) {
      EXPECT_TRUE(Parse(row.format, row.text, &random) == whole) << row.text;
    }
  }
  const Parsed with_id =
      Parse(M, R"([TOOL_CALLS][{"name": "f", "id": "abcdefg12", "arguments": {}}])");
  EXPECT_EQ(with_id.calls[0].id, "abcdefg12");
  const Parsed made = Parse(M, R"([TOOL_CALLS][{"name": "f", "arguments": {}}])");
  EXPECT_EQ(made.calls[0].id.size(), 9u);
  EXPECT_EQ(Parse(H, "<tool_call>{\"name\":\"f\"}</tool_call>").calls[0].id.substr(0, 5), "call_");
}

TEST(ToolCalls, TheFormatIsInTheTemplate) {
  EXPECT_EQ(DetectToolFormat("... '<tool_call>\\n' ..."), ToolFormat::kHermes);
  EXPECT_EQ(DetectToolFormat("'[TOOL_CALLS] ['"), ToolFormat::kMistral);
  EXPECT_EQ(DetectToolFormat("<|start_header_id|> \"parameters\""), ToolFormat::kLlama3);
  EXPECT_EQ(DetectToolFormat("{{ messages }}"), ToolFormat::kPlain);
}

TEST(ToolGrammar, NamesItsTools) {
  const Json tools = Json::parse(
      R"([{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"a":{"type":"string"}}}}},
    {"type":"function","function":{"name":"g"}}])");
  const std::string both = *ToolGrammar(ToolFormat::kHermes, tools, "", true);
  EXPECT_NE(both.find("call ::= call-0 | call-1"), std::string::npos) << both;
  EXPECT_NE(both.find("\"additionalProperties\":false"), std::string::npos) << both;
  const std::string one = *ToolGrammar(ToolFormat::kLlama3, tools, "g", false);
  EXPECT_EQ(one.find("\\\"f\\\""), std::string::npos) << one;
  EXPECT_FALSE(ToolGrammar(ToolFormat::kPlain, tools, "h", false));
  EXPECT_FALSE(ToolGrammar(ToolFormat::kPlain, Json::array(), "", false));
}

}  // namespace
}  // namespace weir::templates
