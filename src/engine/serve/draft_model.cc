#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <new>

#include "base/check.h"
#include "engine/serve/forward.h"
#include "engine/serve/kv_cache.h"
#include "engine/serve/speculate.h"

namespace weir::serve {
namespace {

constexpr int64_t kMostKvBytes = int64_t{512} << 20;
// A prompt's tokens that the draft model computes in one step: it must not hold the target up.
constexpr int64_t kCatchUp = 256;

}  // namespace

struct DraftModel::Impl {
  Impl(std::shared_ptr<const model::Model> m, const Options& o, int64_t blocks)
      : model(std::move(m)), options(o), cache(model->config(), blocks, KvType::kF16) {}

  struct State {
    std::vector<int32_t> tokens;  // that are in the cache
    std::vector<int32_t> blocks;
  };
  // Blocks for `tokens` positions; false: there is no room.
  bool Reach(State& state, int64_t tokens) {
    const int64_t more = KvCache::BlocksFor(tokens) - static_cast<int64_t>(state.blocks.size());
    if (more > cache.free_blocks()) return false;
    for (int64_t i = 0; i < more; ++i) state.blocks.push_back(cache.Take());
    return true;
  }

  const std::shared_ptr<const model::Model> model;
  const Options options;
  KvCache cache;
  std::unique_ptr<Forward> forward;
  std::map<uint64_t, State> states;
  std::vector<float> logits;  // [max_sequences, vocab_size]
};

Result<std::unique_ptr<DraftModel>> DraftModel::Create(std::shared_ptr<const model::Model> draft,
                                                       const model::Model& target,
                                                       const Options& options) {
  const model::Tokenizer &mine = draft->tokenizer(), &theirs = target.tokenizer();
  bool same = mine.vocab_size() == theirs.vocab_size();
  for (int32_t id = 0; same && id < mine.vocab_size(); ++id) {
    same = mine.BytesOf(id) == theirs.BytesOf(id);
  }
  if (!same) {
    return Error(
               Code::kInvalidArgument,
               fmt::format("the draft model {} has {} tokens, {} has {}, and they are not the same",
                           draft->name(), mine.vocab_size(), target.name(), theirs.vocab_size()))
        .Hint("choose a draft model of the same family");
  }
  const int64_t reach =
      std::min<int64_t>(options.context + options.longest, draft->config().max_seq);
  const int64_t one = KvCache::BlocksFor(reach);
  const int64_t bytes = KvCache::BytesPerToken(draft->config(), KvType::kF16) * kKvBlockTokens;
  const int64_t blocks =
      std::clamp(kMostKvBytes / bytes, one, std::max<int64_t>(one, one * options.max_sequences));
  try {
    return std::unique_ptr<DraftModel>(
        new DraftModel(std::make_unique<Impl>(std::move(draft), options, blocks)));
  } catch (const std::bad_alloc&) {
    return Error(Code::kResourceExhausted, "not enough memory for the draft model's KV cache");
  }
}

DraftModel::DraftModel(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
DraftModel::~DraftModel() = default;

void DraftModel::Start(kernels::ThreadPool* pool, int max_rows) {
  Impl& d = *impl_;
  d.forward =
      std::make_unique<Forward>(*d.model, d.cache, pool, d.model->config().max_seq, max_rows);
  d.logits.resize(static_cast<size_t>(d.options.max_sequences) *
                  static_cast<size_t>(d.model->config().vocab_size));
}

void DraftModel::Forget(uint64_t id) {
  const auto it = impl_->states.find(id);
  if (it == impl_->states.end()) return;
  for (const int32_t block : it->second.blocks) impl_->cache.Release(block);
  impl_->states.erase(it);
}

void DraftModel::Propose(std::span<const Request> requests) {
  Impl& d = *impl_;
  const auto vocabulary = static_cast<size_t>(d.model->config().vocab_size);
  struct Runner {
    const Request* request;
    Impl::State* state;
    Sampler sampler;
    size_t begin;  // of the tokens that the next pass computes; the rest is in the cache
  };
  std::vector<Runner> runners;
  std::vector<Piece> pieces;
  CHECK(requests.size() <= static_cast<size_t>(d.options.max_sequences));
  for (const Request& request : requests) {
    request.draft->clear();
    Impl::State& state = d.states[request.id];
    // What is in the cache and still true: wrong drafts of the last time are computed over.
    const size_t same = static_cast<size_t>(
        std::ranges::mismatch(state.tokens, request.tokens).in1 - state.tokens.begin());
    size_t begin = std::min(same, request.tokens.size() - 1);
    size_t end = request.tokens.size();
    const int64_t reach = static_cast<int64_t>(end + request.most);
    if (request.most == 0 || reach > d.model->config().max_seq || !d.Reach(state, reach)) continue;
    const bool far = end - begin > static_cast<size_t>(kCatchUp);
    if (far) end = begin + static_cast<size_t>(kCatchUp);
    state.tokens.assign(request.tokens.begin(),
                        request.tokens.begin() + static_cast<ptrdiff_t>(end));
    if (far) {
      pieces.push_back({.tokens = std::span(state.tokens).subspan(begin),
                        .begin = static_cast<int64_t>(begin),
                        .blocks = state.blocks});
      continue;
    }
    runners.push_back({&request, &state, *request.sampler, begin});
  }
  for (size_t round = 0; !runners.empty() || !pieces.empty(); ++round) {
    for (size_t i = 0; i < runners.size(); ++i) {
      const Runner& r = runners[i];
      pieces.push_back({.tokens = std::span(r.state->tokens).subspan(r.begin),
                        .begin = static_cast<int64_t>(r.begin),
                        .blocks = r.state->blocks,
                        .logits = &d.logits[i * vocabulary]});
    }
    d.forward->Run(pieces);
    pieces.clear();
    Sampler::Scratch scratch;
    for (size_t i = 0; i < runners.size(); ++i) {
      Runner& r = runners[i];
      const auto used = static_cast<size_t>(d.model->tokenizer().vocab_size());
      const int32_t token =
          r.sampler.Sample({&d.logits[i * vocabulary], used}, /*allowed=*/{}, scratch);
      if (token < 0) {
        r.request = nullptr;
        continue;
      }
      r.sampler.Accept(token);
      r.request->draft->push_back(token);
      if (r.request->draft->size() == r.request->most) {
        r.request = nullptr;
        continue;
      }
      r.begin = r.state->tokens.size();
      r.state->tokens.push_back(token);
    }
    std::erase_if(runners, [](const Runner& r) { return r.request == nullptr; });
  }
}

}  // namespace weir::serve
