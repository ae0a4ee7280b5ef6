#include "engine/model/tokenizer.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "base/random.h"
#include "engine/model/bpe_trainer.h"
#include "engine/model/gguf.h"
#include "engine/model/merge.h"
#include "engine/model/pretokenizer.h"
#include "engine/model/pretokenizer_regex.h"
#include "engine/model/utf8.h"

namespace weir::model {
namespace {

uint64_t Seed() {
  const char* text = std::getenv("SEED");
  return text != nullptr ? std::strtoull(text, nullptr, 0) : 20261122;
}

std::string Shared(const std::string& name) {
  const char* root = std::getenv("WEIR_SHARED");
  return root == nullptr ? "" : std::string(root) + "/" + name;
}

std::string Slurp(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream all;
  all << file.rdbuf();
  return all.str();
}

std::string RandomBytes(Random& random, size_t size) {
  std::string bytes;
  for (size_t i = 0; i < size; ++i) bytes += static_cast<char>(random.Below(256));
  return bytes;
}

// Text with the troubles of real text: runs of white space, contractions, digits, several scripts.
std::string RandomText(Random& random, size_t pieces) {
  static const std::string kPieces[] = {
      "the",    "Once",   " upon", "'s", "'LL",  "'t", " ",         "  ",   "\n",   "\r\n",
      "\t",     "1",      "2024",  "٣",  "é",    "ß",  "日本",      "한국", "🙂", "…",
      "\u00a0", "\u2003", "-",     "!?", "x=1;", "<|", "a\xCC\x81", "\xFF", "\xC3", "zzz"};
  std::string text;
  for (size_t i = 0; i < pieces; ++i) text += kPieces[random.Below(std::size(kPieces))];
  return text;
}

Tokenizer Trained(int vocab_size, const std::string& text, PreTokenizer pre = PreTokenizer::kGpt2) {
  BpeTrainerOptions options;
  options.vocab_size = vocab_size;
  options.pre = pre;
  BpeTrainer trainer = *BpeTrainer::Create(options);
  trainer.Add(text);
  return *trainer.Train();
}

std::string Corpus(uint64_t seed) {
  Random random(seed);
  return RandomText(random, 4000);
}

constexpr PreTokenizer kScanners[] = {PreTokenizer::kGpt2, PreTokenizer::kLlama3,
                                      PreTokenizer::kQwen2, PreTokenizer::kTekken,
                                      PreTokenizer::kGpt4o};

std::vector<std::string> Words(PreTokenizer pre, std::string_view text) {
  std::vector<std::string> words;
  while (!text.empty()) {
    const size_t n = FirstWord(pre, text);
    words.emplace_back(text.substr(0, n));
    text.remove_prefix(n);
  }
  return words;
}

TEST(PreTokenizer, CutsAsThePatternsSay) {
  using W = std::vector<std::string>;
  EXPECT_EQ(Words(PreTokenizer::kGpt2, "Hello world's  12 a\n\n b!?\n"),
            (W{"Hello", " world", "'s", " ", " 12", " a", "\n\n", " b", "!?", "\n"}));
  EXPECT_EQ(Words(PreTokenizer::kGpt2, "I'LL we'll\t\tx \u00a0y"),
            (W{"I", "'", "LL", " we", "'ll", "\t", "\t", "x", " ", "\u00a0", "y"}));
  EXPECT_EQ(
      Words(PreTokenizer::kLlama3, "I'LL 12345 !a\n\n  b  \n x..\n\n"),
      (W{"I", "'LL", " ", "123", "45", " !", "a", "\n\n", " ", " b", "  \n", " x", "..\n\n"}));
  EXPECT_EQ(Words(PreTokenizer::kQwen2, "(abc) 12"), (W{"(abc", ")", " ", "1", "2"}));
}

TEST(PreTokenizer, NoByteIsLostAndNoWordIsEmpty) {
  Random random(Seed());
  for (int round = 0; round < 200; ++round) {
    const std::string text = round % 2 ? RandomBytes(random, 50) : RandomText(random, 30);
    for (const PreTokenizer pre : kScanners) {
      std::string joined;
      for (const std::string& word : Words(pre, text)) {
        ASSERT_FALSE(word.empty());
        joined += word;
      }
      ASSERT_EQ(joined, text);
    }
  }
}

// The scanners beside the matcher that runs their pattern; and pieces of every category.
TEST(PreTokenizer, TheScannersCutAsTheirPatternsDo) {
  Random random(Seed());
  SCOPED_TRACE(fmt::format("SEED={}", Seed()));
  static const std::string kChars[] = {
      "a",      "B",          "ǅ",    "ʰ",      "ª",      "日", "é",  "ß",       "İ",
      "\u0301", "\u0903",     "1",    "٣",      "Ⅷ",      "½",  " ",  "  ",      "\t",
      "\n",     "\r",         "\r\n", "\u00a0", "\u2028", "'",  "'s", "'S",      "'ſ",
      "'re",    "'LL",        "'x",   "/",      "-",      "…",  "€",  "\u200b",  "\u3000",
      "_",      "\U0001F642", "\xFF", "\xC3",   "\u0378", "ab", "AB", "\xC2\x85"};
  for (const PreTokenizer pre : kScanners) {
    const auto matcher = *SplitRegex::Create(PatternOf(pre));
    for (int round = 0; round < 3000; ++round) {
      std::string text;
      for (size_t i = random.Below(14); i > 0; --i) text += kChars[random.Below(std::size(kChars))];
      std::vector<std::string> expected;
      for (const auto& [begin, end] : matcher->FindAll(text)) {
        expected.push_back(text.substr(begin, end - begin));
      }
      ASSERT_EQ(Words(pre, text), expected) << PatternOf(pre) << "\n[" << text << "]";
    }
  }
}

TEST(PreTokenizer, StepsCutWhatTheStepsBeforeLeft) {
  using W = std::vector<std::string>;
  const auto pieces = [](std::vector<SplitStep> steps, std::string_view text) {
    W words;
    Splitter::Create(std::move(steps))->ForEach(text, [&](std::string_view w) {
      words.emplace_back(w);
    });
    return words;
  };
  const auto named = [&](std::string_view name, std::string_view text) {
    return pieces(PreTokenizerOfGguf(name)->steps, text);
  };
  EXPECT_EQ(pieces({{.pattern = "-"}}, "a--b-"), (W{"a", "-", "-", "b", "-"}));
  EXPECT_EQ(pieces({{.pattern = "-", .cut = Cut::kRemoved}}, "a--b-"), (W{"a", "b"}));
  EXPECT_EQ(pieces({{.pattern = "-", .cut = Cut::kContiguous}}, "a--b-"), (W{"a", "--", "b", "-"}));
  EXPECT_EQ(pieces({{.pattern = "-", .cut = Cut::kMergedWithPrevious}}, "a--b-c"),
            (W{"a-", "-", "b-", "c"}));
  EXPECT_EQ(pieces({{.pattern = "-", .cut = Cut::kMergedWithNext}}, "a--b-"),
            (W{"a", "-", "-b", "-"}));
  EXPECT_EQ(pieces({{.pattern = "[ab]+", .cut = Cut::kRemoved, .invert = true}}, "xaby"),
            (W{"ab"}));
  EXPECT_EQ(pieces({{.pattern = "+", .literal = true}}, "1+1"), (W{"1", "+", "1"}));
  EXPECT_EQ(named("starcoder", " 12 ab"), (W{" ", "1", "2", " ab"}));
  EXPECT_EQ(named("falcon", "a!!b 12345"), (W{"a", "!!", "b", " ", "123", "45"}));
  EXPECT_EQ(named("deepseek-coder", "\nab cd!1"), (W{"\n", "ab", " cd", "!", "1"}));
  EXPECT_EQ(named("deepseek-v3", "a1234 日本x"), (W{"a", "123", "4", " ", "日本", "x"}));
  EXPECT_EQ(named("superbpe", "x1234567"), (W{"x", "1", "234", "567"}));
  EXPECT_EQ(named("gpt-4o", "HelloWorld's 1234"), (W{"Hello", "World's", " ", "123", "4"}));
  EXPECT_EQ(named("tekken", "HTTPServer's"), (W{"HTTPServer", "'s"}));
  for (const char* name :
       {"gpt-2",     "mpt",       "llama-bpe", "qwen2",        "qwen35",         "tekken",
        "gpt-4o",    "starcoder", "falcon",    "deepseek-llm", "deepseek-coder", "deepseek-v3",
        "bloom",     "viking",    "superbpe",  "bailingmoe",   "seed-coder",     "default",
        "command-r", "refact",    "chameleon", "kimi-k2"}) {
    const Result<GgufPreTokenizer> found = PreTokenizerOfGguf(name);
    ASSERT_TRUE(found) << name;
    const Result<Splitter> made = Splitter::Create(found->steps);
    EXPECT_TRUE(made) << name << ": " << made.error().ToString();
  }
  const auto unknown = PreTokenizerOfGguf("no-such");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code(), Code::kUnimplemented);
  EXPECT_NE(unknown.error().ToString().find("no-such"), std::string::npos);
}

TEST(MergeTable, ShortAndLongLoopsEqualTheReference) {
  Random random(Seed());
  SCOPED_TRACE(fmt::format("SEED={}", Seed()));
  for (int round = 0; round < 60; ++round) {
    // A small alphabet and chained rules, so that ties and overlaps are common.
    std::vector<std::pair<int32_t, int32_t>> pairs;
    std::vector<int32_t> joined;
    int32_t next = 3;
    for (int i = 0; i < 30; ++i) {
      const auto a = static_cast<int32_t>(random.Below(static_cast<uint64_t>(next)));
      const auto b = static_cast<int32_t>(random.Below(static_cast<uint64_t>(next)));
      pairs.emplace_back(a, b);
      joined.push_back(next++);
    }
    MergeTable table;
    table.Build(pairs, joined);
    for (int length = 0; length < 120; ++length) {
      std::vector<int32_t> ids;
      for (int i = 0; i < length; ++i) ids.push_back(static_cast<int32_t>(random.Below(3)));
      std::vector<int32_t> expected = ids;
      table.ApplyReference(expected);
      table.Apply(ids);
      ASSERT_EQ(ids, expected) << "length " << length;
    }
  }
}

TEST(Tokenizer, DecodeUndoesEncodeOnAnyBytes) {
  Random random(Seed());
  SCOPED_TRACE(fmt::format("SEED={}", Seed()));
  const Tokenizer tokenizer = Trained(600, Corpus(1));
  for (int round = 0; round < 300; ++round) {
    const std::string text =
        round % 2 ? RandomBytes(random, random.Below(400)) : RandomText(random, random.Below(400));
    ASSERT_EQ(tokenizer.Decode(tokenizer.Encode(text)), text);
  }
}

TEST(Tokenizer, TheWordCacheChangesNothing) {
  const Tokenizer tokenizer = Trained(600, Corpus(1));
  const std::string text = Corpus(2);  // long enough for the cache
  std::vector<int32_t> by_word;
  for (const std::string& word : Words(PreTokenizer::kGpt2, text)) {
    for (const int32_t id : tokenizer.Encode(word)) by_word.push_back(id);
  }
  EXPECT_EQ(tokenizer.Encode(text), by_word);
}

TEST(Tokenizer, SpecialTokensAreFoundOnlyWhenAskedFor) {
  const Tokenizer tokenizer = Trained(400, Corpus(1));
  const std::string text = "a<|endoftext|>b";
  EXPECT_EQ(tokenizer.Encode(text, ParseSpecial::kYes),
            (std::vector<int32_t>{*tokenizer.Find("a"), 0, *tokenizer.Find("b")}));
  const std::vector<int32_t> plain = tokenizer.Encode(text);
  EXPECT_EQ(std::count(plain.begin(), plain.end(), 0), 0);
  EXPECT_EQ(tokenizer.Decode(plain), text);
  EXPECT_EQ(tokenizer.Decode(std::vector<int32_t>{0}), "");
  EXPECT_EQ(tokenizer.stop_tokens(), std::vector<int32_t>{0});
}

TEST(Tokenizer, TokenizerJsonAndGgufGiveTheSameTokenizerBack) {
  Random random(Seed());
  for (const PreTokenizer pre : kScanners) {
    const Tokenizer original = Trained(500, Corpus(3), pre);
    const std::string json = *original.ToHfJson();
    Result<Tokenizer> from_json = Tokenizer::FromHfJson(json);
    ASSERT_TRUE(from_json) << from_json.error().ToString();
    EXPECT_EQ(*from_json->ToHfJson(), json);
    GgufWriter writer;
    original.ToGguf(writer);
    const std::string bytes = writer.Header();
    Result<GgufFile> file = GgufFile::Parse(std::as_bytes(std::span(bytes)), "memory");
    ASSERT_TRUE(file) << file.error().ToString();
    Result<Tokenizer> from_gguf = Tokenizer::FromGguf(*file);
    ASSERT_TRUE(from_gguf) << from_gguf.error().ToString();
    EXPECT_EQ(from_gguf->stop_tokens(), original.stop_tokens());
    for (int round = 0; round < 20; ++round) {
      const std::string text = RandomText(random, 100);
      const std::vector<int32_t> expected = original.Encode(text);
      ASSERT_EQ(from_json->Encode(text), expected);
      ASSERT_EQ(from_gguf->Encode(text), expected);
    }
  }
}

TEST(Tokenizer, ErrorsNameTheField) {
  const struct {
    const char* json;
    const char* expected;
  } rows[] = {
      {"", "not a JSON object"},
      {"[]", "not a JSON object"},
      {"{}", "no model"},
      {R"({"model":{"type":"WordLevel"}})", "WordLevel"},
      {R"({"model":{"type":"Unigram"}})", "model.vocab"},
      {R"({"model":{"type":"BPE"}})", "model.vocab"},
      {R"({"model":{"vocab":{"a":0}}})", "model.merges"},
      {R"({"model":{"vocab":{"a":-1},"merges":[]}})", "model.vocab"},
      {R"({"model":{"vocab":{"a":2000000},"merges":[]}})", "holes"},
      {R"({"model":{"vocab":{"a":0},"merges":[]}})", "pre_tokenizer"},
      {R"({"model":{"vocab":{"a":0},"merges":["a b"]},"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false}})",
       "merge 0"},
      {R"({"model":{"vocab":{"a":0},"merges":[]},"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false}})",
       "no token for the byte 0x00"},
      {R"({"normalizer":{"type":"Precompiled"},"model":{"vocab":{"a":0},"merges":[]}})",
       "normalizer Precompiled"},
  };
  for (const auto& row : rows) {
    const Result<Tokenizer> result = Tokenizer::FromHfJson(row.json);
    ASSERT_FALSE(result) << row.json;
    EXPECT_NE(result.error().ToString().find(row.expected), std::string::npos)
        << result.error().ToString();
  }
}

// The published vectors: strings separated by a line of their own, one line of ids for each.
void CheckVectors(const std::string& name) {
  const std::string path = Shared("models/vocab/ggml-vocab-" + name + ".gguf");
  if (Slurp(path + ".inp").empty()) GTEST_SKIP() << "no shared data";
  Result<GgufFile> file = GgufFile::Open(path);
  ASSERT_TRUE(file) << file.error().ToString();
  Result<Tokenizer> tokenizer = Tokenizer::FromGguf(*file);
  ASSERT_TRUE(tokenizer) << tokenizer.error().ToString();
  const std::string input = Slurp(path + ".inp");
  std::istringstream output(Slurp(path + ".out"));
  const std::string separator = "\n__ggml_vocab_test__\n";
  size_t at = 0;
  size_t count = 0;
  for (std::string line; std::getline(output, line); ++count) {
    size_t end = input.find(separator, at);
    if (end == std::string::npos) end = input.size();
    const std::string text = input.substr(at, end - at);
    at = end + separator.size();
    std::vector<int32_t> expected;
    std::istringstream numbers(line);
    for (int32_t id; numbers >> id;) expected.push_back(id);
    EXPECT_EQ(tokenizer->Encode(text), expected) << "text " << count << ": [" << text << "]";
    EXPECT_EQ(tokenizer->Decode(tokenizer->Encode(text)), text);
  }
  EXPECT_GT(count, 40u);
}
TEST(Tokenizer, Gpt2EqualsThePublishedVectors) { CheckVectors("gpt-2"); }
TEST(Tokenizer, MptEqualsThePublishedVectors) { CheckVectors("mpt"); }
TEST(Tokenizer, Phi3EqualsThePublishedVectors) { CheckVectors("phi-3"); }

TEST(Tokenizer, OneEndlessWordTakesNotMuchLongerThanText) {
  const Tokenizer tokenizer = Trained(600, Corpus(1));
  const std::string word(1 << 20, 'z');
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(tokenizer.Decode(tokenizer.Encode(word)), word);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  EXPECT_LT(took.count(), 20.0);  // half a second is usual; quadratic would be hours
}

TEST(Tokenizer, PrintsItsSpeed) {
  const std::string text = Slurp(Shared("text/tinyshakespeare.txt"));
  if (text.empty()) GTEST_SKIP() << "no shared data";
  const auto seconds = [](const auto& work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  BpeTrainerOptions options;
  BpeTrainer trainer = *BpeTrainer::Create(options);
  const double add = seconds([&] { trainer.Add(text); });
  std::optional<Tokenizer> tokenizer;
  const double train = seconds([&] { tokenizer = *trainer.Train(); });
  size_t tokens = 0;
  double encode = 1e9;
  for (int i = 0; i < 3; ++i) {
    encode = std::min(encode, seconds([&] { tokens = tokenizer->Encode(text).size(); }));
  }
  const double megabytes = static_cast<double>(text.size()) / 1e6;
  fmt::print(
      "{:.2f} MB: count {:.0f} MB/s, train {} tokens in {:.3f} s, encode {:.1f} MB/s, {:.2f} "
      "bytes/token\n",
      megabytes, megabytes / add, tokenizer->vocab_size(), train, megabytes / encode,
      static_cast<double>(text.size()) / static_cast<double>(tokens));
  EXPECT_EQ(tokenizer->vocab_size(), 4096);
}

TEST(BpeTrainer, EqualsTheTrainerThatRecountsEverything) {
  for (uint64_t seed = Seed(); seed < Seed() + 12; ++seed) {
    SCOPED_TRACE(fmt::format("SEED={}", seed));
    Random random(seed);
    BpeTrainerOptions options;
    options.vocab_size = 257 + static_cast<int>(random.Below(150));
    BpeTrainer trainer = *BpeTrainer::Create(options);
    std::string text;
    if (seed % 2) {
      text = RandomText(random, 300);
    } else {  // few letters, long words: overlaps, ties, and equal bytes by different merges
      for (int i = 0; i < 600; ++i) text += "aab "[random.Below(4)];
    }
    trainer.Add(text);
    const std::string fast = *trainer.Train()->ToHfJson();
    ASSERT_EQ(fast, *trainer.TrainReference()->ToHfJson());
  }
}

TEST(BpeTrainer, RefusesAVocabularyThatCannotHoldTheBytes) {
  BpeTrainerOptions options;
  options.vocab_size = 256;
  EXPECT_FALSE(BpeTrainer::Create(options));
}

TEST(BpeTrainer, AnEmptyTextGivesTheBytesAlone) {
  BpeTrainer trainer = *BpeTrainer::Create({});
  EXPECT_EQ(trainer.Train()->vocab_size(), 257);
}

TEST(StreamDecoder, NeverHalfACharacterAndTheSameTextInTheEnd) {
  Random random(Seed());
  const Tokenizer tokenizer = Trained(400, Corpus(1));
  for (int round = 0; round < 300; ++round) {
    const std::string bytes =
        round % 2 ? RandomBytes(random, 40) : RandomText(random, random.Below(40));
    StreamDecoder decoder(tokenizer);
    std::string streamed;
    for (const int32_t id : tokenizer.Encode(bytes)) {
      std::string piece = decoder.Push(id);
      std::string copy = piece;
      ASSERT_EQ(TakeUtf8(copy, true), piece);  // valid on its own
      streamed += piece;
    }
    streamed += decoder.Finish();
    std::string whole = bytes;
    ASSERT_EQ(streamed, TakeUtf8(whole, true));
  }
}

TEST(TakeUtf8, ReplacesMaximalPartsAsTheUnicodeStandardShows) {
  // Section 3.9, table 3-8 and its neighbours: 61 F1 80 80 E1 80 C2 62 80 63 80 BF 64.
  std::string bytes = "\x61\xF1\x80\x80\xE1\x80\xC2\x62\x80\x63\x80\xBF\x64";
  const std::string r = "\xEF\xBF\xBD";
  EXPECT_EQ(TakeUtf8(bytes, true), "a" + r + r + r + "b" + r + "c" + r + r + "d");
  bytes = "\xE2\x82";
  EXPECT_EQ(TakeUtf8(bytes, false), "");
  bytes += "\xAC";
  EXPECT_EQ(TakeUtf8(bytes, false), "€");
  EXPECT_EQ(bytes, "");
}

}  // namespace
}  // namespace weir::model
