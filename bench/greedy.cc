// Greedy continuations by our forward pass, token ids in and out, for bench/llama_cpp/greedy.mjs.
//
//   greedy MODEL N < prompts        one prompt a line, ids separated by blanks
// Prints for each prompt a line of JSON: {"ids":[...],"gaps":[...]}, the gap being the distance in
// nats of the two likeliest tokens. Keys and values are kept in F16, as llama.cpp keeps them.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <sstream>

#include "engine/serve/forward.h"
#include "io/cores.h"

int main(int argc, char** argv) {
  using namespace weir;
  if (argc != 3) {
    fmt::print(stderr, "usage: greedy MODEL N < prompts\n");
    return 2;
  }
  const int wanted = std::atoi(argv[2]);
  kernels::ThreadPool pool(static_cast<int>(io::UsableCores().size()));
  const auto loaded = model::Model::Load(argv[1], &pool);
  if (!loaded) {
    fmt::print(stderr, "greedy: {}\n", loaded.error().ToString());
    return 1;
  }
  const model::Model& m = **loaded;
  const int64_t context = std::min<int64_t>(m.config().max_seq, 4096);
  serve::KvCache cache(m.config(), serve::KvCache::BlocksFor(context), serve::KvType::kF16);
  const std::vector<int32_t> blocks = cache.Take(serve::KvCache::BlocksFor(context));
  serve::Forward forward(m, cache, &pool, context, 512);
  std::vector<float> logits(static_cast<size_t>(m.config().vocab_size));
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream in(line);
    std::vector<int32_t> tokens;
    for (int32_t id; in >> id;) tokens.push_back(id);
    std::vector<int32_t> ids;
    std::vector<double> gaps;
    int64_t at = 0;
    while (static_cast<int>(ids.size()) < wanted && static_cast<int64_t>(tokens.size()) < context &&
           !tokens.empty()) {
      const serve::Piece piece{.tokens = std::span(tokens).subspan(static_cast<size_t>(at)),
                               .begin = at,
                               .blocks = blocks,
                               .logits = logits.data()};
      forward.Run({&piece, 1});
      at = static_cast<int64_t>(tokens.size());
      const auto best = std::max_element(logits.begin(), logits.end());
      ids.push_back(static_cast<int32_t>(best - logits.begin()));
      const float first = *best;
      *best = -INFINITY;
      gaps.push_back(static_cast<double>(first - *std::max_element(logits.begin(), logits.end())));
      tokens.push_back(ids.back());
    }
    fmt::print("{{\"ids\":[{}],\"gaps\":[{}]}}\n", fmt::join(ids, ","), fmt::join(gaps, ","));
  }
  return 0;
}
