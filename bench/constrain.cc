// What holding output to a form costs for each token.
//
//   constrain_bench [--json] GGUF_WITH_VOCABULARY
//
// For each form: the time to compile it, then the tokens of a text that has it, one Mask() and one
// Accept() each: the first sequence ("cold": every mask is worked out), and seven more ("warm":
// median and spread, as share of it from fastest to slowest). A model that makes 50 tokens a second
// has 20 ms for each: 1 ms is 5%.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "base/version.h"
#include "engine/grammar/grammar.h"
#include "engine/model/gguf.h"
#include "engine/model/tokenizer.h"

namespace weir {
namespace {

double Seconds(std::chrono::steady_clock::time_point since) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - since).count();
}

struct Form {
  const char* name;
  Result<grammar::GrammarPtr> (*compile)(std::shared_ptr<const grammar::Vocabulary>);
  std::string text;
};

Status Run(const std::string& path, bool json) {
  const model::GgufFile file = TRY(model::GgufFile::Open(path));
  const model::Tokenizer tokenizer = TRY(model::Tokenizer::FromGguf(file));
  auto start = std::chrono::steady_clock::now();
  const auto vocabulary = grammar::Vocabulary::Create(tokenizer);
  const double trie = Seconds(start);
  if (!json) fmt::print("{} tokens, trie made in {:.0f} ms\n", vocabulary->size(), 1e3 * trie);
  using V = std::shared_ptr<const grammar::Vocabulary>;
  std::string items;
  for (int i = 0; i < 12; ++i) {
    items += fmt::format(
        "{}{{\"id\": {}, \"title\": \"The {}th thing, with a comma\", \"tags\": [\"red\", "
        "\"very large\"], \"price\": {}.5}}",
        i > 0 ? ", " : "", i, i, i * 3);
  }
  const std::vector<Form> forms = {
      {"schema",
       [](V v) {
         return grammar::CompileJsonSchema(
             v, R"({"type":"object","properties":{"name":{"type":"string"},
           "items":{"type":"array","items":{"type":"object","properties":{"id":{"type":"integer"},
           "title":{"type":"string"},"tags":{"type":"array","items":{"enum":["red","green","very large"]}},
           "price":{"type":"number","minimum":0}},"required":["id","title","tags","price"],
           "additionalProperties":false}}},"required":["name","items"],"additionalProperties":false})");
       },
       "{\"name\": \"somebody's list\", \"items\": [" + items + "]}"},
      {"any JSON", [](V v) { return grammar::CompileJsonValue(v); },
       "{\"name\": \"somebody's list\", \"items\": [" + items + "]}"},
      {"strings of at most 200",
       [](V v) {
         return grammar::CompileJsonSchema(
             v, R"({"type":"array","items":{"type":"string","maxLength":200}})");
       },
       "[\"The quick brown fox jumps over the lazy dog, and it does so many times over\"]"},
      {"pattern", [](V v) { return grammar::CompileRegex(v, R"((\w+ ){3,40}\w+[.!?])"); },
       "the quick brown fox jumps over the lazy dog and then over the weir."},
  };
  std::vector<uint32_t> bits(grammar::MaskWords(vocabulary->size()));
  for (const Form& form : forms) {
    start = std::chrono::steady_clock::now();
    const grammar::GrammarPtr compiled = TRY(form.compile(vocabulary));
    const double compile = Seconds(start);
    const auto ids = tokenizer.Encode(form.text);
    std::vector<double> warm;
    double cold = 0, worst = 0;
    for (int run = 0; run < 8; ++run) {
      grammar::Matcher matcher(compiled);
      start = std::chrono::steady_clock::now();
      for (const auto id : ids) {
        const auto one = std::chrono::steady_clock::now();
        matcher.Mask(bits);
        if (!matcher.Accept(id)) {
          return Error(Code::kInternal, fmt::format("{}: the text is refused", form.name));
        }
        if (run == 0) worst = std::max(worst, Seconds(one));
      }
      const double each = Seconds(start) / static_cast<double>(ids.size());
      if (run == 0) {
        cold = each;
      } else {
        warm.push_back(each);
      }
    }
    std::sort(warm.begin(), warm.end());
    const double median = warm[warm.size() / 2], spread = (warm.back() - warm.front()) / median;
    if (json) {
      fmt::print(
          R"({{"form":"{}","vocabulary":{},"tokens":{},"compile_s":{:.6f},"cold_s":{:.8f},"worst_s":{:.8f},"warm_s":{:.8f},"spread":{:.3f},"version":"{}"}})"
          "\n",
          form.name, vocabulary->size(), ids.size(), compile, cold, worst, median, spread,
          kVersion);
    } else {
      fmt::print(
          "{}: compiled in {:.2f} ms; {} tokens, each {:.1f} us cold (worst {:.0f} us), {:.2f} us "
          "warm (spread {:.0f}%)\n",
          form.name, 1e3 * compile, ids.size(), 1e6 * cold, 1e6 * worst, 1e6 * median,
          100 * spread);
    }
  }
  return {};
}

}  // namespace
}  // namespace weir

int main(int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  const bool json = std::erase(arguments, "--json") > 0;
  if (arguments.size() != 1) {
    fmt::print(stderr, "usage: constrain_bench [--json] GGUF_WITH_VOCABULARY\n");
    return 2;
  }
  const weir::Status status = weir::Run(arguments[0], json);
  if (!status) fmt::print(stderr, "constrain_bench: {}\n", status.error().ToString());
  return status ? 0 : 1;
}
