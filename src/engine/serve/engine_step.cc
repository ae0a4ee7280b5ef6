#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include "base/check.h"
#include "base/logging.h"
#include "engine/serve/engine_impl.h"

namespace weir::serve {

void Engine::Impl::Step() {
  const Duration began = clock.Monotonic();
  counts = {};
  compute_time = {};
  TakeIncoming();
  EndLate(began);
  Sweep();
  size_t sequences = 0;
  if (!running.empty() || !waiting.empty()) {
    LookUpDrafts();
    const StepPlan plan = Plan();
    Apply(plan, began);
    {
      const std::lock_guard lock(mutex);
      Gauges();  // who is refused from here on is refused for what is true now
    }
    ProposeDrafts(plan);
    Compute(plan);
    sequences = plan.work.size();
  }
  {
    // The books are right before anybody hears of it: who has an answer finds its place free.
    Sweep();
    const std::lock_guard lock(mutex);
    if (sequences > 0) {
      ++stats.steps;
      stats.batch_sequences += sequences;
      const int bucket = std::bit_width(sequences - 1);
      ++stats.batch_steps[std::min(bucket, EngineStats::kBatchBuckets - 1)];
    }
    Collect();
  }
  Deliver();
  if (sequences == 0) return;
  const Duration took = clock.Monotonic() - began;
  const std::lock_guard lock(mutex);
  stats.step.Add(took);
  stats.overhead.Add(took - compute_time);
}

// Guesses that cost nothing: from the text itself.
void Engine::Impl::LookUpDrafts() {
  int64_t decoding = 0;
  for (const SequencePtr& s : running) decoding += s->decodes() ? 1 : 0;
  // The rows that may hold drafts are shared; with less than one for each sequence it is not worth
  // the trouble.
  const bool worth = 2 * decoding <= options.speculative_rows;
  for (const SequencePtr& s : running) {
    s->draft.clear();
    if (!worth || !s->decodes()) continue;
    const int64_t room = s->request->prompt() + s->request->ask.max_tokens - s->total() - 1;
    if (room <= 0) continue;
    if (!s->draft_length) s->draft_length.emplace(options.speculative_rows - 1);
    s->lookup.Extend(s->tokens);
    const int64_t most = std::min<int64_t>(room, s->draft_length->Next());
    if (most <= 0) continue;
    s->lookup.Propose(s->tokens, static_cast<size_t>(most), s->draft);
    // The draft model fills these in once the plan says how many.
    if (s->draft.empty() && draft_model && s->request->ask.constraint == nullptr) {
      s->draft.assign(static_cast<size_t>(most), -1);
    }
  }
}

void Engine::Impl::ProposeDrafts(const StepPlan& plan) {
  if (!draft_model) return;
  std::vector<DraftModel::Request> requests;
  for (const StepPlan::Work& work : plan.work) {
    Sequence& s = *workers[work.sequence];
    if (s.draft.empty() || s.draft[0] >= 0) continue;
    const size_t most = s.draft.size();
    requests.push_back({.id = s.order,
                        .tokens = s.tokens,
                        .sampler = &s.answer.sampler(),
                        .most = most,
                        .draft = &s.draft});
  }
  if (requests.empty()) return;
  const Duration began = clock.Monotonic();
  draft_model->Propose(requests);
  compute_time = compute_time + (clock.Monotonic() - began);
}

void Engine::Impl::Compute(const StepPlan& plan) {
  const auto vocabulary = static_cast<size_t>(model->config().vocab_size);
  const auto dim = static_cast<size_t>(model->config().dim);
  pieces.clear();
  outcomes.clear();
  inputs.clear();
  // Where each piece's logits and hidden states go is known once all are counted.
  size_t logit_rows = 0, hidden_rows = 0, rows = 0;
  for (const StepPlan::Work& work : plan.work) {
    Sequence& s = *workers[work.sequence];
    std::vector<int32_t>& input =
        inputs.emplace_back(s.tokens.begin() + static_cast<ptrdiff_t>(s.computed),
                            s.tokens.begin() + static_cast<ptrdiff_t>(s.computed + work.tokens));
    input.insert(input.end(), s.draft.begin(), s.draft.end());
    const bool last = s.computed + work.tokens == s.total();
    const bool judged = s.Judged();
    Piece piece{.begin = s.computed, .adapter = s.request->adapter};
    piece.logit_rows =
        judged ? static_cast<int64_t>(input.size())
               : (last && !s.request->embeds() ? 1 + static_cast<int64_t>(s.draft.size()) : 0);
    logit_rows += static_cast<size_t>(piece.logit_rows);
    if (s.request->embeds()) hidden_rows += input.size();
    rows += input.size();
    pieces.push_back(piece);
    outcomes.emplace_back().sequence = &s;
  }
  if (logits.size() < logit_rows * vocabulary) logits.resize(logit_rows * vocabulary);
  if (hidden.size() < hidden_rows * dim) hidden.resize(hidden_rows * dim);
  float* next_logits = logits.data();
  float* next_hidden = hidden.data();
  for (size_t w = 0; w < pieces.size(); ++w) {
    Sequence& s = *outcomes[w].sequence;
    Piece& piece = pieces[w];
    piece.tokens = inputs[w];
    piece.blocks = s.blocks;
    if (piece.logit_rows > 0) piece.logits = next_logits;
    next_logits += static_cast<size_t>(piece.logit_rows) * vocabulary;
    if (s.request->embeds()) {
      piece.hidden = next_hidden;
      next_hidden += piece.tokens.size() * dim;
    }
  }
  const Duration began = clock.Monotonic();
  forward->Run(pieces);
  const Duration ended = clock.Monotonic();
  compute_time = compute_time + (ended - began);
  times.Add(static_cast<int64_t>(rows), ended - began);

  // Choosing a token takes a few passes over the vocabulary: work for all threads.
  pool->For(static_cast<int64_t>(pieces.size()),
            [&](int64_t w) { Harvest(static_cast<size_t>(w)); });
  for (size_t w = 0; w < outcomes.size(); ++w) Settle(plan.work[w], outcomes[w], ended);
}

void Engine::Impl::Harvest(size_t work) {
  Outcome& out = outcomes[work];
  const Piece& piece = pieces[work];
  Sequence& s = *out.sequence;
  try {
    if (piece.hidden != nullptr) Pool(s, piece, out.event);
    if (s.Judged()) HarvestPrompt(s, piece, out.event);
    const auto drafts = s.draft.size();
    const bool last = piece.begin + static_cast<int64_t>(piece.tokens.size() - drafts) == s.total();
    if (piece.logits == nullptr || !last || s.request->ask.max_tokens == 0) return;
    const auto vocabulary = static_cast<size_t>(model->config().vocab_size);
    const auto row = [&](size_t i) {
      const size_t first = static_cast<size_t>(piece.logit_rows) - 1 - drafts;
      return std::span<const float>(piece.logits + (first + i) * vocabulary, vocabulary);
    };
    const bool first_token = s.answer.tokens() == 0;
    for (size_t i = 0; i <= drafts && !out.event.done; ++i) {
      const int32_t token = s.answer.Next(row(i), out.event);
      if (token < 0) break;
      s.tokens.push_back(token);
      ++out.tokens;
      if (i < drafts && token != s.draft[i]) break;
    }
    if (!first_token || s.request->forked) return;
    for (int choice = 1; choice < s.request->ask.n; ++choice) {
      auto fork = std::make_unique<Sequence>(s.request, choice, model->tokenizer());
      fork->prefix = s.prefix;
      Event event{.choice = choice};
      const int32_t token = fork->answer.Next(row(0), event);
      if (token >= 0) fork->tokens.push_back(token);
      out.forks.push_back(std::move(fork));
      out.fork_events.push_back(std::move(event));
    }
  } catch (const std::exception& error) {
    log::error("an answer failed: {}", error.what());
    out.threw = true;
  }
}

// The logprobs of the prompt's own tokens; row i of the piece tells of the token after it.
void Engine::Impl::HarvestPrompt(Sequence& s, const Piece& piece, Event& event) {
  const auto vocabulary = static_cast<size_t>(model->config().vocab_size);
  const auto used = static_cast<size_t>(model->tokenizer().vocab_size());
  for (size_t i = 0; i < piece.tokens.size(); ++i) {
    const int64_t next = piece.begin + static_cast<int64_t>(i) + 1;
    if (next >= s.request->prompt()) break;
    s.prompt_logprobs.push_back(
        s.answer.Judge({piece.logits + i * vocabulary, used}, s.tokens[static_cast<size_t>(next)]));
  }
  const int64_t end = piece.begin + static_cast<int64_t>(piece.tokens.size());
  if (end < s.request->prompt()) return;
  event.prompt_logprobs = std::move(s.prompt_logprobs);
  if (s.request->ask.max_tokens == 0) {
    event.done = true;
    event.finish = Finish::kLength;
  }
}

void Engine::Impl::Pool(Sequence& s, const Piece& piece, Event& event) {
  const auto dim = static_cast<size_t>(model->config().dim);
  const size_t rows = piece.tokens.size();
  s.pooled.resize(dim);
  const bool mean = s.request->ask.embed == Pooling::kMean;
  for (size_t r = mean ? 0 : rows - 1; r < rows; ++r) {
    for (size_t i = 0; i < dim; ++i) {
      const double x = piece.hidden[r * dim + i];
      s.pooled[i] = mean ? s.pooled[i] + x : x;
    }
  }
  if (piece.begin + static_cast<int64_t>(rows) < s.request->prompt()) return;
  double squares = 0;
  for (const double x : s.pooled) squares += x * x;
  const double scale = squares > 0 ? 1 / std::sqrt(squares) : 0;
  for (const double x : s.pooled) event.embedding.push_back(static_cast<float>(x * scale));
  event.done = true;
  event.finish = Finish::kStop;
}

// One thread again: what came of a piece goes into the books.
void Engine::Impl::Settle(const StepPlan::Work& work, Outcome& out, Duration now) {
  Sequence& s = *out.sequence;
  Request& request = *s.request;
  if (out.threw) {
    End(s, Finish::kFailed);
    return;
  }
  const bool in_prompt = s.in_prompt();
  const auto drafted = static_cast<int64_t>(s.draft.size());
  // Rows that stand: the last known token's and those of drafts that were right.
  s.computed += work.tokens + std::max(0, out.tokens - 1);
  double charge = 0;
  if (in_prompt) {
    counts.prompt_tokens += static_cast<uint64_t>(work.tokens);
    charge += static_cast<double>(work.tokens);
  }
  charge += kDecodeCharge * static_cast<double>(out.tokens + static_cast<int>(out.forks.size()));
  flows.Charge(request.flow, charge);
  Keep(s);
  LetGo(s);
  if (out.tokens > 0) {
    counts.generated_tokens += static_cast<uint64_t>(out.tokens);
    s.turn += out.tokens;
    if (s.answer.tokens() == out.tokens) {
      counts.first_gaps.push_back(now - request.submitted);
    } else {
      for (int i = 0; i < out.tokens; ++i) {
        counts.token_gaps.push_back((now - s.last_token) / out.tokens);
      }
    }
    s.last_token = now;
  }
  if (drafted > 0) {
    const int accepted = std::max(0, out.tokens - 1);
    counts.drafted += static_cast<uint64_t>(drafted);
    counts.accepted += static_cast<uint64_t>(accepted);
    s.draft_length->Observe(static_cast<int>(drafted), accepted);
  }
  if (!out.forks.empty()) request.forked = true;
  for (size_t i = 0; i < out.forks.size(); ++i) {
    SequencePtr& fork = out.forks[i];
    fork->last_token = now;
    fork->admitted = s.admitted;
    ++counts.generated_tokens;
    Sequence* told = fork.get();
    Fork(s, std::move(fork));
    Tell(*told, std::move(out.fork_events[i]));
  }
  Event& event = out.event;
  if (event.done || !event.text.empty() || !event.logprobs.empty() ||
      !event.prompt_logprobs.empty() || out.tokens > 0) {
    event.choice = s.choice;
    Tell(s, std::move(event));
  }
}

// A second answer to the same prompt: it shares the whole blocks and copies the last.
void Engine::Impl::Fork(Sequence& parent, SequencePtr fork) {
  const int64_t prompt = parent.request->prompt();
  const auto whole = static_cast<size_t>(prompt / kKvBlockTokens);
  const bool rest = prompt % kKvBlockTokens != 0;
  const bool room =
      running.size() < static_cast<size_t>(options.max_batch) && Available() >= (rest ? 1 : 0);
  if (!room || fork->answer.done()) {
    // It waits like somebody who was preempted: the prefix tree gives it the prompt back.
    waiting.push_back(std::move(fork));
    return;
  }
  fork->blocks.assign(parent.blocks.begin(), parent.blocks.begin() + static_cast<ptrdiff_t>(whole));
  for (const int32_t block : fork->blocks) {
    if (block >= 0) cache.Share(block);
  }
  fork->let_go = parent.let_go;
  if (rest) {
    fork->blocks.push_back(TakeBlocks(1)[0]);
    cache.Copy(parent.blocks[whole], fork->blocks.back());
  }
  fork->computed = prompt;
  if (parent.cursor.blocks <= static_cast<int64_t>(whole)) fork->cursor = parent.cursor;
  running.push_back(std::move(fork));
}

void Engine::Impl::Keep(Sequence& s) {
  if (!options.prefix_cache || s.let_go) return;
  if (s.computed / kKvBlockTokens <= s.cursor.blocks) return;
  tree.Insert(s.request->root, std::span(s.tokens).first(static_cast<size_t>(s.computed)), s.blocks,
              s.cursor);
}

// Where every layer slides, old blocks are never read again. While there is room they stay, for
// others that begin alike; then those that this sequence alone holds are given back, and what
// follows them in the prefix tree leaves it: nobody could find it any more.
void Engine::Impl::LetGo(Sequence& s) {
  if (window == 0 || Available() >= cache.total_blocks() / 4) return;
  const int64_t unseen = (s.computed + 1 - window) / kKvBlockTokens;
  const auto block = [&s](int64_t i) -> int32_t& { return s.blocks[static_cast<size_t>(i)]; };
  int64_t from = std::max<int64_t>(0, unseen);
  while (from > 0) {
    const int32_t b = block(from - 1);
    if (b >= 0 && cache.Holders(b) != (cache.Cached(b) ? 2 : 1)) break;
    --from;
  }
  for (int64_t i = from; i < unseen; ++i) {
    if (block(i) < 0) continue;
    s.let_go = true;
    s.cursor = {};
    tree.Uproot(block(i));
    cache.Release(block(i));
    block(i) = -1;
  }
}

void Engine::Impl::Free(Sequence& s) {
  if (options.prefix_cache && s.computed > 0 && !s.let_go) {
    Keep(s);
    tree.InsertRest(s.request->root, std::span(s.tokens).first(static_cast<size_t>(s.computed)),
                    s.blocks, s.cursor);
  }
  tree.Release(s.blocks);
  s.blocks.clear();
  s.cursor = {};
  s.let_go = false;
  s.computed = 0;
  s.draft.clear();
  if (draft_model) draft_model->Forget(s.order);
}

void Engine::Impl::Tell(Sequence& s, Event event) {
  Request& request = *s.request;
  event.cached_tokens = request.cached_tokens;
  if (event.done) {
    s.ended = true;
    --request.left;
    event.last = request.left == 0;
    if (request.ask.max_tokens > 0) {
      mean_answer += 0.05 * (static_cast<double>(s.answer.tokens()) - mean_answer);
    }
    if (event.last) {
      ++(event.finish == Finish::kFailed     ? counts.failed
         : event.finish == Finish::kDeadline ? counts.late
                                             : counts.finished);
      counts.seconds.push_back((clock.Monotonic() - s.admitted).seconds());
    }
  }
  deliveries.push_back({s.request, std::move(event)});
}

void Engine::Impl::End(Sequence& s, Finish finish) {
  // A prompt that was to be answered several times ends all of them.
  const int answers = s.request->forked ? 1 : s.request->left;
  for (int i = 0; i < answers; ++i) {
    Event event{.choice = s.choice + i};
    if (i == 0 && !s.answer.done()) {
      s.answer.Cut(finish, event);
    } else {
      event.done = true;
      event.finish = finish;
    }
    Tell(s, std::move(event));
  }
}

// What ended gives back what it has and leaves the lists.
void Engine::Impl::Sweep() {
  for (std::vector<SequencePtr>* list : {&running, &waiting}) {
    for (SequencePtr& s : *list) {
      if (!s->ended) continue;
      Free(*s);
      Request& request = *s->request;
      if (request.left == 0 && request.flow >= 0) {
        flows.Leave(request.flow);
        request.flow = -1;
      }
      gone.push_back(std::move(s));
    }
    std::erase(*list, nullptr);
  }
}

void Engine::Impl::Collect() {
  const Counts& c = counts;
  stats.prompt_tokens += c.prompt_tokens;
  stats.generated_tokens += c.generated_tokens;
  stats.drafted_tokens += c.drafted;
  stats.accepted_tokens += c.accepted;
  stats.prefix_hit_tokens += c.prefix_hits;
  stats.preemptions += c.preemptions;
  stats.recomputed_tokens += c.recomputed;
  stats.finished += c.finished;
  stats.cancelled += c.cancelled;
  stats.failed += c.failed;
  stats.late += c.late;
  for (const Duration gap : c.first_gaps) stats.ttft.Add(gap);
  for (const Duration gap : c.token_gaps) stats.tpot.Add(gap);
  for (const Duration wait : c.waits) stats.queue_wait.Add(wait);
  for (const double s : c.seconds) {
    mean_seconds = mean_seconds == 0 ? s : 0.9 * mean_seconds + 0.1 * s;
  }
  counts = {};
  Gauges();
}

void Engine::Impl::Deliver() {
  for (const Delivery& delivery : deliveries) {
    try {
      delivery.request->on_event(delivery.event);
    } catch (const std::exception& error) {
      log::error("whoever listens to request {} failed: {}", delivery.request->id, error.what());
    }
  }
  deliveries.clear();
}

}  // namespace weir::serve
