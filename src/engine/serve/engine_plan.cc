#include <algorithm>
#include <stdexcept>

#include "base/check.h"
#include "engine/serve/engine_impl.h"

namespace weir::serve {
namespace {

// Waiting sequences that are looked at in one step.
constexpr size_t kCandidates = 32;
// With all places taken, those that might take somebody's.
constexpr size_t kContenders = 2;
// Rows whose logits are wanted for every token: bounded, a row is as long as the vocabulary.
constexpr int64_t kJudgedRows = 32;
// Before anything was measured: small enough for any machine.
constexpr int64_t kFirstRows = 64;
// With nobody to wait for their next token, a step may be this many times longer: larger steps use
// the weights for more rows, and somebody new waits for no more than one.
constexpr int kAloneFactor = 4;

}  // namespace

void Engine::Impl::TakeIncoming() {
  std::vector<uint64_t> cancelled;
  std::vector<SequencePtr> arrived;
  {
    const std::lock_guard lock(mutex);
    cancelled.swap(cancels);
    arrived.swap(incoming);
  }
  for (SequencePtr& s : arrived) {
    Request& request = *s->request;
    request.flow = flows.Enter(request.ask.key, request.ask.tier);
    waiting.push_back(std::move(s));
  }
  for (const uint64_t id : cancelled) {
    bool found = false;
    for (std::vector<SequencePtr>* list : {&running, &waiting}) {
      for (SequencePtr& s : *list) {
        if (s->request->id != id || s->ended) continue;
        found = true;
        s->ended = true;
        s->request->left = 0;
        Free(*s);
      }
    }
    if (found) ++counts.cancelled;
  }
}

void Engine::Impl::EndLate(Duration now) {
  for (std::vector<SequencePtr>* list : {&running, &waiting}) {
    for (const SequencePtr& s : *list) {
      if (s->ended || !s->request->due) continue;
      Duration earliest = now;
      // What still has to be computed before its first token can not be had for less than this.
      if (s->in_prompt()) {
        const int64_t known = list == &waiting ? s->match.tokens() : s->computed;
        earliest = earliest + times.Estimate(std::max<int64_t>(1, s->total() - known));
      }
      if (earliest >= *s->request->due) End(*s, Finish::kDeadline);
    }
  }
}

int64_t Engine::Impl::StepRows() const {
  const bool decoding =
      std::any_of(running.begin(), running.end(), [](const auto& s) { return s->decodes(); });
  const Duration target = options.tpot_target * (decoding ? 1 : kAloneFactor);
  const int64_t rows = times.known() ? times.RowsWithin(target) : kFirstRows;
  return std::clamp<int64_t>(rows, kChunk, options.step_tokens);
}

int64_t Engine::Impl::Expected(const Sequence& s) const {
  const int64_t most = s.request->prompt() + s.request->ask.max_tokens - s.total();
  const auto guess = static_cast<int64_t>(1.25 * mean_answer) - s.answer.tokens();
  return std::clamp<int64_t>(std::max<int64_t>(guess, kKvBlockTokens), 0,
                             std::max<int64_t>(0, most));
}

RunningSequence Engine::Impl::Describe(const Sequence& s, bool scarce) const {
  RunningSequence out{.order = s.order,
                      .arrival = static_cast<int64_t>(s.request->id),
                      .flow = s.request->flow,
                      .tier = s.request->ask.tier,
                      .tokens = s.total(),
                      .computed = s.computed,
                      .blocks = static_cast<int64_t>(s.blocks.size()),
                      .expected = Expected(s),
                      .drafts = static_cast<int64_t>(s.draft.size()),
                      .turn = s.turn,
                      .most_rows = s.Judged() ? kJudgedRows : 0};
  // Who may be preempted is asked only where blocks may run out: this reads every block.
  if (!scarce) return out;
  for (const int32_t block : s.blocks) {
    if (block >= 0 && cache.Holders(block) == (cache.Cached(block) ? 2 : 1)) ++out.own_blocks;
  }
  return out;
}

// Whether a sequence in its prompt will bring the next block that another one lacks.
bool Engine::Impl::PromisesPrefix(const Sequence& computes, const Sequence& waits) const {
  const size_t next = waits.match.blocks.size();
  return !computes.let_go && next < computes.prefix.size() && next < waits.prefix.size() &&
         computes.prefix[next] == waits.prefix[next] &&
         computes.request->ask.tier <= waits.request->ask.tier &&
         computes.cursor.blocks <= static_cast<int64_t>(next) &&
         waits.total() > static_cast<int64_t>(next + 1) * kKvBlockTokens;
}

WaitingSequence Engine::Impl::Describe(Sequence& s, std::span<Sequence* const> before) {
  const GenerateRequest& ask = s.request->ask;
  s.match = {};
  // At least one token is computed: somebody wants its logits. Who asks for those of the whole
  // prompt, or for its hidden states, computes all of it.
  const bool whole = s.Judged() || s.request->embeds();
  if (options.prefix_cache && !whole) {
    s.match = tree.Find(s.request->root, std::span(s.tokens).first(s.tokens.size() - 1));
  }
  WaitingSequence out{.order = s.order,
                      .arrival = static_cast<int64_t>(s.request->id),
                      .flow = s.request->flow,
                      .tier = ask.tier,
                      .tokens = s.total(),
                      .taken = s.match.unheld,
                      .shared = static_cast<int64_t>(s.match.blocks.size()) - s.match.unheld,
                      .expected = Expected(s),
                      .most_rows = s.Judged() ? kJudgedRows : 0,
                      .places = s.request->forked ? 1 : ask.n};
  if (s.match.partial >= 0) {
    // The copy is a block more, and while it is made, its source must stay.
    const int64_t taken = out.taken + 1 + (cache.Holders(s.match.partial) == 1 ? 1 : 0);
    if (taken <= Available()) {
      out.taken = taken;
      out.shared += cache.Holders(s.match.partial) > 1 ? 1 : 0;
    } else {
      s.match.partial = -1;
      s.match.partial_tokens = 0;
    }
  }
  out.cached = s.match.tokens();
  out.blocks = KvCache::BlocksFor(out.cached);
  if (options.prefix_cache && !whole) {
    for (const SequencePtr& other : running) {
      if (other->in_prompt() && PromisesPrefix(*other, s)) out.held = true;
    }
    for (size_t i = 0; i < before.size() && out.held_by < 0; ++i) {
      if (PromisesPrefix(*before[i], s)) out.held_by = static_cast<int>(i);
    }
  }
  return out;
}

std::vector<Sequence*> Engine::Impl::Candidates() const {
  std::vector<Applicant> applicants;
  for (const SequencePtr& s : waiting) {
    const auto cost = static_cast<double>(s->total() - s->computed) +
                      kDecodeCharge * static_cast<double>(Expected(*s));
    applicants.push_back(
        {.order = s->order, .flow = s->request->flow, .cost = static_cast<int64_t>(cost)});
  }
  const bool full = running.size() >= static_cast<size_t>(options.max_batch);
  std::vector<Sequence*> out;
  for (const size_t i :
       AdmissionOrder(flows.view(), applicants, full ? kContenders : kCandidates)) {
    out.push_back(waiting[i].get());
  }
  return out;
}

StepPlan Engine::Impl::Plan() {
  candidates = Candidates();
  std::vector<WaitingSequence> next;
  for (size_t i = 0; i < candidates.size(); ++i) {
    next.push_back(Describe(*candidates[i], std::span<Sequence* const>(candidates).first(i)));
  }
  // More than this no step can take.
  const bool scarce = Available() < static_cast<int64_t>(2 * running.size()) +
                                        options.step_tokens / kKvBlockTokens +
                                        options.speculative_rows ||
                      running.size() >= static_cast<size_t>(options.max_batch);
  std::vector<RunningSequence> now;
  for (const SequencePtr& s : running) now.push_back(Describe(*s, scarce));
  StepPlan plan = PlanStep({.limits = {.max_sequences = options.max_batch,
                                       .step_rows = StepRows(),
                                       .speculative_rows = options.speculative_rows},
                            .flows = flows.view(),
                            .running = now,
                            .waiting = next,
                            .available_blocks = Available()});
  if (plan.work.empty() && plan.preempt.empty() && (!running.empty() || !waiting.empty())) {
    throw std::logic_error("the plan of a step is empty");
  }
  return plan;
}

std::vector<int32_t> Engine::Impl::TakeBlocks(int64_t n) {
  if (n > cache.free_blocks()) tree.Evict(n - cache.free_blocks());
  return cache.Take(n);
}

void Engine::Impl::Preempt(Sequence& s) {
  ++counts.preemptions;
  Free(s);
  s.turn = 0;
  // Begun anew with the prompt.
  if (s.answer.tokens() == 0) {
    s.prompt_logprobs.clear();
    s.pooled.clear();
  }
}

void Engine::Impl::Admit(Sequence& s, Duration now) {
  Request& request = *s.request;
  s.blocks = s.match.blocks;
  s.cursor = tree.At(s.match);
  s.computed = s.match.tokens();
  if (s.match.partial >= 0) {
    s.blocks.push_back(TakeBlocks(1)[0]);
    cache.Copy(s.match.partial, s.blocks.back());
    tree.Release({&s.match.partial, 1});  // by the tree: it may be evicted again from now on
  }
  s.match = {};
  if (request.seen) {
    counts.recomputed += static_cast<uint64_t>(s.total() - s.computed);
    return;
  }
  request.seen = true;
  request.cached_tokens = s.computed;
  counts.prefix_hits += static_cast<uint64_t>(s.computed);
  s.admitted = now;
  counts.waits.push_back(now - request.submitted);
}

void Engine::Impl::Apply(const StepPlan& plan, Duration now) {
  // All that is shared is held before anybody lets go of it and before anything is taken, which may
  // evict.
  for (const size_t i : plan.admit) {
    const PrefixTree::Match& match = candidates[i]->match;
    for (const int32_t block : match.blocks) cache.Share(block);
    if (match.partial >= 0) cache.Share(match.partial);
  }
  for (const size_t i : plan.preempt) Preempt(*running[i]);
  std::vector<Sequence*> admitted;
  for (const size_t i : plan.admit) {
    Admit(*candidates[i], now);
    admitted.push_back(candidates[i]);
  }
  // The indices of plan.work are those of running, then of the admitted.
  workers.clear();
  for (const SequencePtr& s : running) workers.push_back(s.get());
  workers.insert(workers.end(), admitted.begin(), admitted.end());
  for (const StepPlan::Work& work : plan.work) {
    Sequence& s = *workers[work.sequence];
    s.draft.resize(
        static_cast<size_t>(std::min<int64_t>(work.drafts, static_cast<int64_t>(s.draft.size()))));
    const int64_t blocks = KvCache::BlocksFor(s.computed + work.tokens + work.drafts) -
                           static_cast<int64_t>(s.blocks.size());
    if (blocks > 0) {
      const std::vector<int32_t> more = TakeBlocks(blocks);
      s.blocks.insert(s.blocks.end(), more.begin(), more.end());
    }
  }
  // Who moves from one list to the other.
  std::vector<SequencePtr> preempted;
  for (const size_t i : plan.preempt) preempted.push_back(std::move(running[i]));
  std::erase(running, nullptr);
  for (Sequence* s : admitted) {
    const auto it = std::find_if(waiting.begin(), waiting.end(),
                                 [s](const SequencePtr& w) { return w.get() == s; });
    CHECK(it != waiting.end());
    running.push_back(std::move(*it));
    waiting.erase(it);
  }
  for (SequencePtr& s : preempted) waiting.push_back(std::move(s));
}

}  // namespace weir::serve
