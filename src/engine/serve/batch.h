// Which work goes into the next step of the engine: iteration-level scheduling with chunked
// prefill. Sources: Yu et al., "Orca", 2022, section 3 (joining and leaving at every step); Agrawal
// et al., "Sarathi-Serve", 2024 (prompts in chunks beside decodes); Goyal et al., "Start-time Fair
// Queueing", 1996, and Sheng et al., "Fairness in Serving Large Language Models", 2024 (fair share
// on tokens); Kwon et al., "PagedAttention", 2023, section 4.5 (preemption by recompute).
//
// Pure: what is running and waiting goes in, a plan comes out; the engine carries it out.
//
// Flows     A flow is one key on one tier. It is charged for the tokens that it is served, divided
//           by its weight; whoever was charged least goes first. A flow that was idle starts at the
//           least charge of those that were not (the engine's part), so nobody saves up.
// Memory    Running sequences get the blocks that this step needs, the most important first: better
//           tier, then older. Where blocks run out, the least important one is preempted: it gives
//           all blocks back and waits again. The first in this order is never preempted, and the
//           pool holds any one sequence, so somebody always runs to the end.
// Admission In the order of AdmissionOrder, while a place is free and what a sequence needs now
// plus
//           what it and all running ones may be expected to add fits. The first that does not fit
//           holds back those behind it. One that waits for a prefix which a running sequence is
//           computing
//           (`held`) is passed over. Nobody is admitted in a step that preempted for memory.
// Places    When all are taken, a waiting sequence of a better tier than some running one takes the
//           place of the youngest of the worst tier; and one of a flow with fewer places than its
//           share takes one of a flow that has more than its share, both on one tier. One in each
//           step, from those that have run for kLeastTurn tokens.
// Rows      Every sequence that has one token to compute (it decodes) gets one row. Drafts get what
// is
//           left below speculative_rows. Prompts get what the step's budget leaves, in chunks of
//           kChunk, each to the flow charged least and, within it, to the prompt with the fewest
//           tokens done, where every request that came later counts for kOvertake tokens: short
//           prompts overtake long ones, but only so many. At least one chunk moves in every step.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace weir::serve {

// Prompt tokens that are planned together. Borders fall on multiples of it, or at the end.
inline constexpr int64_t kChunk = 16;
// A prompt with n tokens done lets at most n / kOvertake later requests pass.
inline constexpr int64_t kOvertake = 64;
// Tokens that a sequence may generate before somebody may take its place.
inline constexpr int64_t kLeastTurn = 16;
// A generated token is charged as this many prompt tokens: what it costs this engine at a batch of
// some ten sequences.
inline constexpr double kDecodeCharge = 2;

struct BatchLimits {
  int max_sequences = 32;
  int64_t step_rows = 512;  // decodes, drafts and prompt tokens of one step, as far as possible
  int64_t speculative_rows = 0;  // rows of a step up to which drafts are checked
};

struct Flow {
  double charged = 0;
  double weight = 1;
};

struct RunningSequence {
  uint64_t order = 0;      // of submission; unique
  int64_t arrival = 0;     // number of its request
  int flow = 0;            // index into flows
  int tier = 1;            // 1 is the most important
  int64_t tokens = 0;      // known, of prompt and answer
  int64_t computed = 0;    // of them, in the KV cache; tokens - computed == 1: it decodes
  int64_t blocks = 0;      // that it has
  int64_t own_blocks = 0;  // of them, those that are there for others once it is preempted
  int64_t expected = 1;    // tokens that it is likely to add yet
  int64_t drafts = 0;      // tokens that it would like to have checked
  int64_t turn = 0;        // tokens generated since it was admitted last
  int64_t most_rows = 0;   // in one step; 0: any
};

struct WaitingSequence {
  uint64_t order = 0;
  int64_t arrival = 0;
  int flow = 0;
  int tier = 1;
  int64_t tokens = 0;
  int64_t cached = 0;  // of them, that will be found computed
  int64_t blocks = 0;  // that hold those
  int64_t taken = 0;   // blocks that are available now and will not be once it is admitted
  int64_t shared = 0;  // blocks it will share that somebody holds now, and may let go of
  int64_t expected = 1;
  int64_t most_rows = 0;
  int places = 1;     // sequences that it will fork into
  bool held = false;  // a running sequence computes a prefix that this one will share
  int held_by = -1;   // so will this one of waiting, once it is admitted
};

struct Snapshot {
  BatchLimits limits;
  std::span<const Flow> flows;
  std::span<const RunningSequence> running;
  std::span<const WaitingSequence> waiting;  // in the order of AdmissionOrder
  int64_t available_blocks = 0;              // free, or cached and evictable
};

struct StepPlan {
  struct Work {
    size_t sequence;     // index into running, followed by the admitted ones
    int64_t tokens;      // 1 for a decode
    int64_t drafts = 0;  // to be checked after them
  };
  std::vector<size_t> preempt;  // indices into running
  std::vector<size_t> admit;    // indices into waiting
  std::vector<Work> work;
};

StepPlan PlanStep(const Snapshot& snapshot);

// The waiting requests in the order in which they are to be admitted, by flow and order alone: the
// oldest of the flow charged least, then again with it charged for that. At most `most` of them.
struct Applicant {
  uint64_t order = 0;
  int flow = 0;
  int64_t cost = 0;  // tokens that it is likely to be charged for
};
std::vector<size_t> AdmissionOrder(std::span<const Flow> flows, std::span<const Applicant> waiting,
                                   size_t most);

}  // namespace weir::serve
