#include "control/journal.h"

#include <fmt/format.h>

#include "base/check.h"
#include "base/logging.h"

namespace weir::control {
namespace {

Status ApplyRecord(State& state, const io::Record& record) {
  const Event event = TRY(FromRecord(record));
  if (Status applied = Apply(state, event); !applied) {
    return Error(Code::kDataLoss, fmt::format("journal record {} ({}) does not follow from those "
                                              "before it: {}",
                                              record.seq, record.type, applied.error().message()))
        .Hint("see `weir journal verify`");
  }
  return {};
}

// Applies records from_seq.. up_to (0: all) to state; returns the last seq applied.
Result<int64_t> ReplayInto(State& state, io::Store& store, int64_t from_seq, int64_t up_to,
                           Time* last_time) {
  Status status;
  int64_t last = from_seq - 1;
  TRY(store.Scan(from_seq, [&](const io::Record& record) {
    if (up_to != 0 && record.seq > up_to) return false;
    status = ApplyRecord(state, record);
    if (!status) return false;
    last = record.seq;
    if (last_time != nullptr) *last_time = record.time;
    return true;
  }));
  TRY(std::move(status));
  return last;
}

}  // namespace

Result<Journal> Journal::Open(io::Store& store, int64_t snapshot_every) {
  Journal journal(store, snapshot_every);
  if (const std::optional<io::Snapshot> snapshot = TRY(store.LatestSnapshot())) {
    if (Result<State> state = StateFromText(snapshot->blob)) {
      journal.state_ = *std::move(state);
      journal.seq_ = journal.snapshot_seq_ = snapshot->seq;
      // Its own record tells the time: the tail may be empty.
      TRY(store.Scan(snapshot->seq, [&](const io::Record& record) {
        journal.last_time_ = record.time;
        return false;
      }));
    } else {
      log::warn("snapshot at record {} does not read ({}): replaying from the first record",
                snapshot->seq, state.error().message());
    }
  }
  TRY(journal.ReadTail());
  journal.twin_ = journal.state_;
  return journal;
}

Status Journal::ReadTail() {
  seq_ = TRY(ReplayInto(state_, *store_, seq_ + 1, 0, &last_time_));
  return {};
}

Status Journal::Settle() {
  if (!in_doubt_) return {};
  const int64_t last = TRY(store_->LastSeq());
  CHECK_MSG(last >= seq_, "store at {}, journal at {}", last, seq_);
  if (last > seq_) {
    // ReadTail leaves a half-applied state behind only with an error; a copy keeps it out of sight.
    State copy = state_;
    seq_ = TRY(ReplayInto(copy, *store_, seq_ + 1, 0, &last_time_));
    state_ = std::move(copy);
    twin_ = state_;
  }
  in_doubt_ = false;
  return {};
}

void Journal::ApplyAll(const std::vector<Event>& batch, State& state) {
  for (const Event& event : batch) {
    if (const Status applied = Apply(state, event); !applied) {
      CheckFailed(
          __FILE__, __LINE__, "an event follows from the state",
          fmt::format("{}: {} ({})", TypeOf(event.body), applied.error().message(), event.text));
    }
  }
}

Status Journal::Commit(std::vector<Event> batch) {
  if (batch.empty()) return {};
  TRY(Settle());
  ApplyAll(batch, twin_);
  std::vector<io::Entry> entries;
  entries.reserve(batch.size());
  for (const Event& event : batch) entries.push_back(ToEntry(event));
  const int64_t before = seq_;
  const Result<int64_t> first = store_->Append(entries);
  if (!first) {
    in_doubt_ = true;
    const Status settled = Settle();
    twin_ = state_;
    if (!settled || seq_ == before) return first.error();
    return {};  // it was written after all, and Settle applied it
  }
  CHECK_MSG(*first == seq_ + 1, "the store gave {}, {} was next", *first, seq_ + 1);
  std::swap(state_, twin_);
  ApplyAll(batch, twin_);
  seq_ += static_cast<int64_t>(batch.size());
  last_time_ = batch.back().at;
  MaybeSnapshot();
  return {};
}

void Journal::MaybeSnapshot() {
  if (seq_ - snapshot_seq_ < snapshot_every_) return;
  if (const Status put = store_->PutSnapshot(seq_, Text(state_)); !put) {
    log::warn("no snapshot at record {}: {}", seq_, put.error().ToString());
    return;
  }
  snapshot_seq_ = seq_;
}

Result<State> Replay(io::Store& store, int64_t up_to) {
  State state;
  TRY(ReplayInto(state, store, 1, up_to, nullptr));
  return state;
}

Result<JournalReport> Verify(io::Store& store, const State* live) {
  JournalReport report;
  const io::VerifyReport chain = TRY(store.Verify());
  report.records = chain.good_records;
  report.last_hash = chain.last_hash;
  const auto problem = [&](std::string text, std::string hint) {
    report.problem = std::move(text);
    report.hint = std::move(hint);
    return report;
  };
  if (chain.problem) return problem(chain.problem->message(), chain.problem->hint());
  const Result<State> replayed = Replay(store);
  if (!replayed) return problem(replayed.error().message(), replayed.error().hint());
  const std::string text = Text(*replayed);
  const std::string hint = "keep a copy of the data folder and report this as a bug";
  if (const std::optional<io::Snapshot> snapshot = TRY(store.LatestSnapshot())) {
    report.snapshot_seq = snapshot->seq;
    Result<State> state = StateFromText(snapshot->blob);
    if (!state)
      return problem(fmt::format("the snapshot at record {} does not read: {}", snapshot->seq,
                                 state.error().message()),
                     hint);
    if (const auto last = ReplayInto(*state, store, snapshot->seq + 1, 0, nullptr); !last)
      return problem(last.error().message(), hint);
    if (Text(*state) != text)
      return problem(fmt::format("the snapshot at record {} and the records after it give another "
                                 "state than all records from the first",
                                 snapshot->seq),
                     hint);
  }
  if (live != nullptr && Text(*live) != text)
    return problem("the running control loop holds another state than its journal replays to",
                   hint);
  return report;
}

}  // namespace weir::control
