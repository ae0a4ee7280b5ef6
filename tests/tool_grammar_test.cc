// Grammars of tool calls (engine/template writes them, engine/grammar holds output to them) allow
// just what the parser of the same format reads back.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/random.h"
#include "engine/grammar/grammar.h"
#include "engine/model/bpe_trainer.h"
#include "engine/template/tool_calls.h"

namespace weir {
namespace {

using Json = nlohmann::ordered_json;
using templates::ToolFormat;

TEST(ToolGrammar, WhatItAllowsIsReadBackAsCalls) {
  model::BpeTrainer trainer =
      *model::BpeTrainer::Create({.vocab_size = 400, .special_tokens = {"</s>", "[TOOL_CALLS]"}});
  trainer.Add(
      R"(<tool_call> {"name": "weather", "arguments": {"city": "x", "days": 3}} </tool_call>)");
  const model::Tokenizer tokenizer = *trainer.Train();
  const auto vocabulary = grammar::Vocabulary::Create(tokenizer);
  const Json tools = Json::parse(R"([
    {"type":"function","function":{"name":"weather","parameters":{"type":"object","properties":
      {"city":{"enum":["Łódź","\"q\""]},"days":{"type":"integer","minimum":1,"maximum":9}},"required":["city"]}}},
    {"type":"function","function":{"name":"now"}}])");
  Random random(20261122);
  for (const ToolFormat format :
       {ToolFormat::kPlain, ToolFormat::kHermes, ToolFormat::kLlama3, ToolFormat::kMistral}) {
    const std::string text = *templates::ToolGrammar(format, tools, "", true);
    const auto compiled = grammar::CompileEbnf(vocabulary, text);
    ASSERT_TRUE(compiled) << compiled.error().ToString() << "\n" << text;
    for (int round = 0; round < 10; ++round) {
      grammar::Matcher matcher(*compiled);
      std::vector<uint32_t> bits(grammar::MaskWords(tokenizer.vocab_size()));
      std::string output;
      while (!matcher.finished()) {
        matcher.Mask(bits);
        std::vector<int32_t> allowed;
        for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
          if ((bits[static_cast<size_t>(id) / 32] >> (id % 32) & 1) != 0) allowed.push_back(id);
        }
        ASSERT_FALSE(allowed.empty()) << output;
        int32_t pick = allowed[random.Below(allowed.size())];
        if (matcher.Done() && random.Chance(0.7)) pick = *tokenizer.eos();
        ASSERT_TRUE(matcher.Accept(pick));
        if (!matcher.finished()) output += tokenizer.BytesOf(pick);
      }
      templates::ToolCallParser parser(format, {"weather", "now"}, 1);
      std::vector<std::pair<std::string, std::string>> calls;
      std::string content;
      for (const templates::ToolDelta& delta : {parser.Push(output), parser.Finish()}) {
        content += delta.content;
        for (const auto& call : delta.calls) {
          if (!call.name.empty()) calls.emplace_back(call.name, "");
          calls.back().second += call.arguments;
        }
      }
      EXPECT_EQ(content, "") << output;
      ASSERT_FALSE(calls.empty()) << output;
      for (const auto& [name, arguments] : calls) {
        const Json value = Json::parse(arguments, nullptr, false);
        ASSERT_TRUE(value.is_object()) << output;
        EXPECT_EQ(value.contains("city"), name == "weather") << output;
      }
    }
  }
}

}  // namespace
}  // namespace weir
