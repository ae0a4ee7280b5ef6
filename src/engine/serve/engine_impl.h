// The inside of the engine: what its files share. engine.cc has the door (Submit, Cancel, Drain)
// and the thread; engine_plan.cc turns the world into a Snapshot and a StepPlan into blocks and
// places; engine_step.cc runs the model and hands out what came of it.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "engine/kernels/thread_pool.h"
#include "engine/serve/answer.h"
#include "engine/serve/batch.h"
#include "engine/serve/engine.h"
#include "engine/serve/flows.h"
#include "engine/serve/forward.h"
#include "engine/serve/kv_cache.h"
#include "engine/serve/lora.h"
#include "engine/serve/prefix_tree.h"
#include "engine/serve/speculate.h"
#include "engine/serve/step_times.h"

namespace weir::serve {

// What all answers of one request share. Outlives them.
struct Request {
  uint64_t id = 0;
  GenerateRequest ask;
  OnEvent on_event;
  Duration submitted;
  std::optional<Duration> due;  // on the monotonic clock
  int root = 0;                 // of the prefix tree: the adapter's
  const LoraAdapter* adapter = nullptr;
  int flow = -1;  // while it waits or runs
  int left = 0;   // answers that are not done
  bool forked = false;
  bool seen = false;  // it was admitted once
  int64_t cached_tokens = 0;

  int64_t prompt() const { return static_cast<int64_t>(ask.prompt.size()); }
  bool embeds() const { return ask.embed != Pooling::kNone; }
};

// One answer, from Submit (or its fork) to its end.
struct Sequence {
  Sequence(std::shared_ptr<Request> r, int choice_index, const model::Tokenizer& tokenizer)
      : request(std::move(r)),
        choice(choice_index),
        order(request->id * kMaxChoices + static_cast<uint64_t>(choice)),
        tokens(request->ask.prompt),
        answer(request->ask, choice, tokenizer) {}

  std::shared_ptr<Request> request;
  int choice;
  uint64_t order;                // unique; in order of submission
  std::vector<int32_t> tokens;   // prompt, then what was generated
  std::vector<uint64_t> prefix;  // hash of all tokens up to the end of block i of the prompt
  int64_t computed = 0;          // of tokens, in the KV cache
  std::vector<int32_t> blocks;   // -1: let go, behind every layer's window
  bool let_go = false;           // then nothing of it goes into the prefix tree any more
  PrefixTree::Cursor cursor;
  PrefixTree::Match match;  // while it waits and is looked at
  Answer answer;
  PromptLookup lookup;
  std::optional<DraftLength> draft_length;
  std::vector<int32_t> draft;  // tokens to be checked in this step
  int64_t turn = 0;            // tokens since it was admitted last
  Duration last_token;
  Duration admitted;
  std::vector<wire::TokenLogprob> prompt_logprobs;
  std::vector<double> pooled;  // of an embedding request
  bool ended = false;

  int64_t total() const { return static_cast<int64_t>(tokens.size()); }
  bool decodes() const { return total() - computed == 1; }
  bool in_prompt() const { return computed < request->prompt(); }
  // The logprobs of its prompt are wanted and not yet known: all of it is computed, none found.
  bool Judged() const { return request->ask.prompt_logprobs && answer.tokens() == 0; }
};
using SequencePtr = std::unique_ptr<Sequence>;

struct Engine::Impl {
  Impl(std::shared_ptr<const model::Model> m, const EngineOptions& o, const io::Clock& c,
       int64_t blocks);

  // engine.cc
  void Run();
  void FailAll();
  void Gauges();  // under mutex
  bool Idle() const { return incoming.empty() && stats.queued + stats.running == 0 && !stepping; }

  // engine_plan.cc
  void TakeIncoming();         // new requests and cancels
  void EndLate(Duration now);  // those past their deadline, or sure to miss it
  StepPlan Plan();
  void Apply(const StepPlan& plan, Duration now);
  std::vector<Sequence*> Candidates() const;
  WaitingSequence Describe(Sequence& sequence, std::span<Sequence* const> before);
  RunningSequence Describe(const Sequence& sequence, bool scarce) const;
  bool PromisesPrefix(const Sequence& computes, const Sequence& waits) const;
  int64_t Expected(const Sequence& sequence) const;
  int64_t Available() const { return cache.free_blocks() + cache.cached_blocks(); }
  std::vector<int32_t> TakeBlocks(int64_t n);  // evicts what must go
  void Preempt(Sequence& sequence);
  void Admit(Sequence& sequence, Duration now);
  int64_t StepRows() const;

  // engine_step.cc
  struct Outcome {
    Sequence* sequence = nullptr;
    Event event;
    int tokens = 0;  // generated in this step
    bool threw = false;
    std::vector<SequencePtr> forks;
    std::vector<Event> fork_events;
  };
  void Step();
  void LookUpDrafts();
  void ProposeDrafts(const StepPlan& plan);
  void Compute(const StepPlan& plan);
  void Harvest(size_t work);  // of outcomes[work]; in parallel
  void HarvestPrompt(Sequence& s, const Piece& piece, Event& event);
  void Pool(Sequence& s, const Piece& piece, Event& event);
  void Keep(Sequence& s);                         // its whole blocks, in the prefix tree
  void LetGo(Sequence& s);                        // what no query to come can see
  void Free(Sequence& s);                         // all it has
  void Fork(Sequence& parent, SequencePtr fork);  // after its first token
  void Tell(Sequence& s, Event event);            // queues the event
  void End(Sequence& s, Finish finish);           // before its time, with its event
  void Settle(const StepPlan::Work& work, Outcome& out, Duration now);
  void Sweep();    // who ended leaves
  void Collect();  // under mutex: adds this step's counts to the statistics
  void Deliver();

  const std::shared_ptr<const model::Model> model;
  const EngineOptions options;
  const io::Clock& clock;
  std::vector<std::shared_ptr<const LoraAdapter>> adapters;  // as options.adapters

  // The engine's thread alone.
  KvCache cache;
  PrefixTree tree;
  const int64_t window;  // positions that a query sees in any layer; 0: all
  Flows flows;
  StepTimes times;
  std::vector<SequencePtr> running;  // in order of admission
  std::vector<SequencePtr> waiting;
  std::vector<SequencePtr> gone;  // ended in this step; destroyed outside of the lock
  std::unique_ptr<DraftModel> draft_model;
  std::unique_ptr<kernels::ThreadPool> pool;
  std::unique_ptr<Forward> forward;
  std::vector<float> logits, hidden;         // of this step
  std::vector<Sequence*> candidates;         // as the plan's waiting
  std::vector<Sequence*> workers;            // as the plan's running, then its admitted
  std::vector<std::vector<int32_t>> inputs;  // as pieces: their tokens
  std::vector<Piece> pieces;
  std::vector<Outcome> outcomes;  // as pieces
  struct Delivery {
    std::shared_ptr<Request> request;
    Event event;
  };
  std::vector<Delivery> deliveries;
  struct Counts {
    uint64_t prompt_tokens = 0, generated_tokens = 0, drafted = 0, accepted = 0;
    uint64_t prefix_hits = 0, preemptions = 0, recomputed = 0;
    uint64_t finished = 0, cancelled = 0, failed = 0, late = 0;
    std::vector<Duration> first_gaps, token_gaps, waits;
    std::vector<double> seconds;  // from admission to the end
  } counts;                       // of this step
  double mean_answer = 128;       // tokens; smoothed
  Duration compute_time;          // of this step's arithmetic

  mutable std::mutex mutex;  // guards all below
  std::condition_variable wake, idle;
  std::vector<SequencePtr> incoming;
  std::vector<uint64_t> cancels;
  bool stop = false, draining = false, fail_all = false;
  bool stepping = false;  // events of finished sequences may still be on their way
  uint64_t next_id = 1;
  double mean_seconds = 0;  // of a request, from its admission to its end; smoothed
  EngineStats stats;

  std::thread thread;
};

// Chained hashes of whole blocks: two prompts with equal prefix[i] begin with the same i + 1
// blocks.
std::vector<uint64_t> PrefixHashes(std::span<const int32_t> tokens, int root);

}  // namespace weir::serve
