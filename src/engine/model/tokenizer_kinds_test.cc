// Tokenizers other than byte-level BPE, and what tokenizer.json says beside the vocabulary.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "base/random.h"
#include "engine/model/gguf.h"
#include "engine/model/tokenizer.h"
#include "engine/model/utf8.h"

namespace weir::model {
namespace {

using Json = nlohmann::json;
using Ids = std::vector<int32_t>;

Tokenizer Read(const Json& json) {
  Result<Tokenizer> made = Tokenizer::FromHfJson(json.dump());
  if (!made) ADD_FAILURE() << made.error().ToString();
  return *std::move(made);
}

// <unk> 0, <s> 1, the bytes 2..257, then pieces.
Json LlamaLike() {
  Json vocab = {{"<unk>", 0}, {"<s>", 1}};
  for (int b = 0; b < 256; ++b) vocab[fmt::format("<0x{:02X}>", b)] = b + 2;
  int next = 258;
  for (const char* piece : {"▁", "a", "b", "é", "▁a", "ab", "▁ab", "▁▁", "aa"})
    vocab[piece] = next++;
  return {
      {"model",
       {{"type", "BPE"},
        {"byte_fallback", true},
        {"fuse_unk", true},
        {"unk_token", "<unk>"},
        {"vocab", vocab},
        {"merges", {"▁ a", "a b", "▁a b", "▁ ab", "▁ ▁", "a a"}}}},
      {"normalizer",
       {{"type", "Sequence"},
        {"normalizers",
         {{{"type", "Prepend"}, {"prepend", "▁"}},
          {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "▁"}}}}}},
      {"decoder",
       {{"type", "Sequence"},
        {"decoders",
         {{{"type", "Replace"}, {"pattern", {{"String", "▁"}}}, {"content", " "}},
          {{"type", "ByteFallback"}},
          {{"type", "Fuse"}},
          {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}}}}},
      {"added_tokens", {{{"id", 1}, {"content", "<s>"}, {"special", true}}}},
      {"post_processor",
       {{"type", "TemplateProcessing"},
        {"single",
         {{{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}}, {{"Sequence", {{"id", "A"}}}}}}}}};
}

TEST(CharBpe, FallsBackToBytesAndMarksWords) {
  const Tokenizer t = Read(LlamaLike());
  const auto id = [&](const char* piece) { return *t.Find(piece); };
  const auto byte = [](int b) { return b + 2; };
  EXPECT_EQ(t.Encode("ab"), (Ids{id("▁ab")}));
  EXPECT_EQ(t.Encode("ab ba"), (Ids{id("▁ab"), id("▁"), id("b"), id("a")}));
  EXPECT_EQ(t.Encode("aé\n"), (Ids{id("▁a"), id("é"), byte('\n')}));
  EXPECT_EQ(t.Encode("日"), (Ids{id("▁"), byte(0xE6), byte(0x97), byte(0xA5)}));
  EXPECT_EQ(t.Encode("a<s>b", ParseSpecial::kYes), (Ids{id("▁a"), 1, id("▁"), id("b")}));
  EXPECT_EQ(t.Encode("<0x0A>").size(), 7u);  // the name of a byte is no byte
  EXPECT_TRUE(t.add_bos());
  EXPECT_EQ(t.bos(), 1);
  for (const char* text : {"ab ba", " a", "  b", "aé\n日\xFF", ""}) {
    EXPECT_EQ(t.Decode(t.Encode(text)), text);
  }
}

TEST(CharBpe, MetaspaceSaysWhereTheMarkGoes) {
  Json json = LlamaLike();
  json.erase("normalizer");
  const auto with = [&](const char* scheme) {
    json["pre_tokenizer"] = {
        {"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", scheme}, {"split", false}};
    return Read(json);
  };
  const Tokenizer first = with("first"), always = with("always"), never = with("never");
  const auto id = [&](const char* piece) { return *first.Find(piece); };
  EXPECT_EQ(first.Encode("a<s>a", ParseSpecial::kYes), (Ids{id("▁a"), 1, id("a")}));
  EXPECT_EQ(always.Encode("a<s>a", ParseSpecial::kYes), (Ids{id("▁a"), 1, id("▁a")}));
  EXPECT_EQ(never.Encode("a b"), (Ids{id("a"), id("▁"), id("b")}));
  EXPECT_EQ(first.Encode(" a"), (Ids{id("▁a")}));
}

TEST(AddedTokens, TakeWhatTheirFlagsSay) {
  Json json = LlamaLike();
  json["normalizer"] = {
      {"type", "Sequence"},
      {"normalizers",
       {{{"type", "Lowercase"}},
        {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "▁"}}}}};
  int next = 300;
  const auto add = [&](const char* content, const char* flag) {
    Json token = {{"id", next++}, {"content", content}, {"special", false}, {"normalized", false}};
    if (*flag != '\0') token[flag] = true;
    json["added_tokens"].push_back(token);
  };
  for (int hole = 267; hole < 300; ++hole)
    json["model"]["vocab"][fmt::format("[hole{}]", hole)] = hole;
  add("<l>", "lstrip");
  add("<r>", "rstrip");
  add("word", "single_word");
  add("Norm", "normalized");
  add("<l>x", "");
  const Tokenizer t = Read(json);
  const auto id = [&](const char* piece) { return *t.Find(piece); };
  EXPECT_EQ(t.Encode("a  <l> a"), (Ids{id("a"), 300, id("▁a")}));
  EXPECT_EQ(t.Encode("a <r>  a"), (Ids{id("a"), id("▁"), 301, id("a")}));
  EXPECT_EQ(t.Encode("a word a"), (Ids{id("a"), id("▁"), 302, id("▁a")}));
  EXPECT_NE(t.Encode("awords").size(), 3u);
  EXPECT_EQ(t.Encode("anORMa"), (Ids{id("a"), 303, id("a")}));
  EXPECT_EQ(t.Encode("a<l>xa"), (Ids{id("a"), 304, id("a")}));  // the longest
}

TEST(Unigram, FindsTheBestDivision) {
  Random random(20261122);
  Json rows = Json::array({Json::array({"<unk>", 0.0})});
  std::vector<std::pair<std::string, float>> pieces;
  for (const char* piece : {"▁", "a", "b", "c", "ab", "bc", "abc", "▁a", "ca", "cab", "▁abca"}) {
    const float score =
        -static_cast<float>(random.Below(1000)) / 100 - 0.003f * static_cast<float>(pieces.size());
    pieces.emplace_back(piece, score);
    rows.push_back(Json::array({piece, score}));
  }
  const Tokenizer t =
      Read({{"model", {{"type", "Unigram"}, {"unk_id", 0}, {"vocab", rows}}},
            {"pre_tokenizer",
             {{"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", "always"}}}});
  // Every division of a word, by brute force.
  const std::function<float(const std::string&)> best = [&](const std::string& word) {
    if (word.empty()) return 0.0f;
    float top = -1e30f;
    for (const auto& [piece, score] : pieces) {
      if (word.starts_with(piece)) top = std::max(top, score + best(word.substr(piece.size())));
    }
    return top;
  };
  for (int round = 0; round < 300; ++round) {
    std::string word;
    for (size_t n = 1 + random.Below(9); n > 0; --n) word += "abc"[random.Below(3)];
    float sum = 0;
    for (const int32_t id : t.Encode(word)) {
      ASSERT_GT(id, 0);
      sum += pieces[static_cast<size_t>(id) - 1].second;
    }
    ASSERT_NEAR(sum, best("▁" + word), 1e-3) << word;
    ASSERT_EQ(t.Decode(t.Encode(word + " " + word)), word + " " + word);
  }
  EXPECT_EQ(t.Encode("aXYa").size(), 3u);  // what is unknown is one
  EXPECT_EQ(t.Encode("aXYa")[1], 0);
}

TEST(WordPiece, TakesTheLongestPiecesOfCleanWords) {
  Json vocab;
  int next = 0;
  for (const char* piece :
       {"[UNK]", "[CLS]", "[SEP]", "un", "##aff", "##able", "##a", "the", ",", "日", "cafe"}) {
    vocab[piece] = next++;
  }
  const Json json = {{"model",
                      {{"type", "WordPiece"},
                       {"unk_token", "[UNK]"},
                       {"continuing_subword_prefix", "##"},
                       {"vocab", vocab}}},
                     {"normalizer",
                      {{"type", "BertNormalizer"},
                       {"lowercase", true},
                       {"clean_text", true},
                       {"handle_chinese_chars", true},
                       {"strip_accents", nullptr}}},
                     {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
                     {"decoder", {{"type", "WordPiece"}}},
                     {"post_processor",
                      {{"type", "BertProcessing"}, {"sep", {"[SEP]", 2}}, {"cls", {"[CLS]", 1}}}}};
  const Tokenizer t = Read(json);
  EXPECT_EQ(t.Encode("The UNaffable,日the Café"), (Ids{7, 3, 4, 5, 8, 9, 7, 10}));
  EXPECT_EQ(t.Encode("unx the"), (Ids{0, 7}));
  EXPECT_EQ(t.Encode(std::string(200, 'a')), (Ids{0}));
  EXPECT_TRUE(t.add_bos() && t.add_eos());
  EXPECT_EQ(t.Decode(t.Encode("the unaffable")), "the unaffable");
}

TEST(HfJson, ANormalizerMayChangeTextFirst) {
  Json vocab;
  for (int b = 0; b < 256; ++b) vocab[ByteAlphabet()[static_cast<size_t>(b)]] = b;
  Json json = {{"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", Json::array()}}},
               {"normalizer", {{"type", "NFC"}}},
               {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}}};
  const Tokenizer t = Read(json);
  EXPECT_EQ(t.Decode(t.Encode("e\xCC\x81 \xFF")), "e\xCC\x81 \xFF");  // no UTF-8: as it is
  EXPECT_EQ(t.Decode(t.Encode("e\xCC\x81")), "é");
  const Tokenizer again = *Tokenizer::FromHfJson(*t.ToHfJson());
  EXPECT_EQ(again.Decode(again.Encode("e\xCC\x81")), "é");
  // GGUF has no name for it: the file goes along, and is read back.
  GgufWriter writer;
  t.ToGguf(writer);
  const std::string bytes = writer.Header();
  const Result<GgufFile> file = GgufFile::Parse(std::as_bytes(std::span(bytes)), "memory");
  ASSERT_TRUE(file) << file.error().ToString();
  const Result<Tokenizer> from_gguf = Tokenizer::FromGguf(*file);
  ASSERT_TRUE(from_gguf) << from_gguf.error().ToString();
  EXPECT_EQ(from_gguf->Decode(from_gguf->Encode("e\xCC\x81")), "é");
  json["pre_tokenizer"]["add_prefix_space"] = true;
  const Tokenizer spaced = Read(json);
  EXPECT_EQ(spaced.Encode("a"), spaced.Encode(" a"));
}

}  // namespace
}  // namespace weir::model
