// The journal of the lab: events made durable in a store, and the state that they fold to.
//
//   Journal journal = TRY(Journal::Open(store));
//   TRY(journal.Commit({event, event}));       // durable, then visible in journal.state()
//
// Open      newest intact snapshot, then the records after it; without a snapshot from the start.
// Commit    the batch is applied to the state's twin first: what would not replay never reaches
//           the store (that is a bug: CHECK). Then one durable Append; then the two change places
//           and the other catches up. So a commit costs its events twice, not a copy of the lab.
// In doubt  a store may fail without telling whether it wrote. Then LastSeq() decides, now or
//           before the next Commit: what was written after all is applied, nothing is applied
//           twice.
// Snapshots every kSnapshotEvery records. One that cannot be written is tried again later: it
//           saves time, never truth.
// Verify    the store's hash chain; then genesis replayed equals snapshot + tail, and equals the
//           live state. A record that does not read or an arrow the state refuses is named by seq.
//
// Errors    those of io::Store: kResourceExhausted (disk full), kUnavailable, kPermissionDenied
//           (read-only), kDataLoss. After an error nothing of the batch is in state(), and the
//           journal goes on being usable: a later Commit succeeds once the store does.
// Threads   one at a time; the caller's lock.
#pragma once

#include <functional>
#include <span>
#include <string>

#include "control/events.h"
#include "control/state.h"
#include "io/store.h"

namespace weir::control {

inline constexpr int64_t kSnapshotEvery = 1000;

class Journal {
 public:
  // Borrows the store.
  static Result<Journal> Open(io::Store& store, int64_t snapshot_every = kSnapshotEvery);

  Status Commit(std::vector<Event> batch);
  const State& state() const { return state_; }
  int64_t seq() const { return seq_; }
  Time last_time() const { return last_time_; }  // of the newest record
  // Looks whether the store takes writes again after an error; kOk if it does (or never failed).
  Status Settle();

 private:
  Journal(io::Store& store, int64_t snapshot_every)
      : store_(&store), snapshot_every_(snapshot_every) {}
  static void ApplyAll(const std::vector<Event>& batch, State& state);
  Status ReadTail();
  void MaybeSnapshot();

  io::Store* store_;
  int64_t snapshot_every_;
  State state_;
  State twin_;  // equal to state_ between calls
  int64_t seq_ = 0;
  int64_t snapshot_seq_ = 0;
  Time last_time_;
  bool in_doubt_ = false;
};

// The state after record `up_to` (0: all) by replay from the first record on, snapshots unused.
Result<State> Replay(io::Store& store, int64_t up_to = 0);

struct JournalReport {
  int64_t records = 0;
  int64_t snapshot_seq = 0;  // 0: there is none
  std::string last_hash;
  std::string problem;  // one sentence; empty: everything holds
  std::string hint;
};
// `live`: what a running control loop holds as the state, if one is at hand.
Result<JournalReport> Verify(io::Store& store, const State* live = nullptr);

}  // namespace weir::control
