// How fast text becomes tokens, and whether the time stays linear when text is made to be slow.
//
//   tokenize_bench [--json] TEXT_FILE VOCABULARY...      GGUF files or tokenizer.json
//
// One thread. Each line: one warm-up, then seven runs; median, and the spread from the fastest to
// the slowest as a share of it. The limit beside it is a pass over the same bytes that only adds
// them up. "endless" is one letter, a megabyte of it; its time by a quarter of it should be
// about 4.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "base/version.h"
#include "engine/model/gguf.h"
#include "engine/model/tokenizer.h"
#include "io/files.h"

namespace weir {
namespace {

struct Timing {
  double median_s = 0, spread = 0;
};
template <class Work>
Timing Measure(const Work& work) {
  std::vector<double> seconds;
  for (int run = 0; run < 8; ++run) {
    const auto start = std::chrono::steady_clock::now();
    work();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    if (run > 0) seconds.push_back(took.count());
  }
  std::sort(seconds.begin(), seconds.end());
  const double median = seconds[seconds.size() / 2];
  return {median, (seconds.back() - seconds.front()) / median};
}

Result<model::Tokenizer> Load(const std::string& path) {
  if (path.ends_with(".json")) {
    return model::Tokenizer::FromHfJson(TRY(io::ReadFile(path, int64_t{64} << 20)));
  }
  const model::GgufFile file = TRY(model::GgufFile::Open(path));
  return model::Tokenizer::FromGguf(file);
}

Status Run(const std::vector<std::string>& arguments, bool json) {
  const std::string text = TRY(io::ReadFile(arguments[0], int64_t{1} << 30));
  volatile uint64_t sink = 0;
  const Timing pass = Measure([&] {
    uint64_t sum = 0;
    for (size_t i = 0; i + 8 <= text.size(); i += 8) {
      uint64_t word;
      std::memcpy(&word, text.data() + i, 8);
      sum += word;
    }
    sink = sum;
  });
  const double megabytes = static_cast<double>(text.size()) / 1e6;
  if (!json)
    fmt::print("{:.2f} MB of text; reading it: {:.0f} MB/s\n", megabytes,
               megabytes / pass.median_s);
  for (size_t i = 1; i < arguments.size(); ++i) {
    const model::Tokenizer tokenizer = TRY(Load(arguments[i]));
    size_t tokens = 0;
    const Timing encode = Measure([&] { tokens = tokenizer.Encode(text).size(); });
    const std::string prompt = text.substr(0, 2048);
    const Timing small = Measure([&] {
      for (int k = 0; k < 200; ++k) sink = sink + tokenizer.Encode(prompt).size();
    });
    const std::vector<model::Tokenizer::TokenId> ids = tokenizer.Encode(text);
    const Timing decode = Measure([&] { sink = tokenizer.Decode(ids).size(); });
    const std::string endless(1 << 20, 'z'), quarter(1 << 18, 'z');
    const Timing whole = Measure([&] { sink = tokenizer.Encode(endless).size(); });
    const Timing part = Measure([&] { sink = tokenizer.Encode(quarter).size(); });
    const double speed = megabytes / encode.median_s;
    const double prompt_speed = 200 * 2048 / 1e6 / small.median_s;
    if (json) {
      fmt::print(
          R"({{"vocabulary":"{}","encode_mb_s":{:.1f},"spread":{:.3f},"prompt_mb_s":{:.1f},"decode_mb_s":{:.1f},"bytes_per_token":{:.3f},"endless_s":{:.4f},"endless_ratio":{:.2f},"read_mb_s":{:.0f},"version":"{}"}})"
          "\n",
          arguments[i], speed, encode.spread, prompt_speed, megabytes / decode.median_s,
          static_cast<double>(text.size()) / static_cast<double>(tokens), whole.median_s,
          whole.median_s / part.median_s, megabytes / pass.median_s, kVersion);
    } else {
      fmt::print(
          "{}: encode {:.1f} MB/s (spread {:.0f}%), 2 KB prompts {:.1f} MB/s, decode {:.0f} MB/s, "
          "{:.2f} bytes/token, endless {:.0f} ms, {:.1f} times its quarter\n",
          arguments[i], speed, 100 * encode.spread, prompt_speed, megabytes / decode.median_s,
          static_cast<double>(text.size()) / static_cast<double>(tokens), 1e3 * whole.median_s,
          whole.median_s / part.median_s);
    }
  }
  return {};
}

}  // namespace
}  // namespace weir

int main(int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  const bool json = std::erase(arguments, "--json") > 0;
  if (arguments.size() < 2) {
    fmt::print(stderr, "usage: tokenize_bench [--json] TEXT_FILE VOCABULARY...\n");
    return 2;
  }
  const weir::Status status = weir::Run(arguments, json);
  if (!status) fmt::print(stderr, "tokenize_bench: {}\n", status.error().ToString());
  return status ? 0 : 1;
}
