// Counts what goes by in an answer without parsing it: events of a server-sent stream (each is a
// token, for a server that sends one event per token) and the usage that the answer tells, if any.
// Threads: one. Memory: a tail of kTail bytes, only where usage can stand.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/units.h"

namespace weir::gateway {

class StreamMeter {
 public:
  explicit StreamMeter(bool event_stream) : event_stream_(event_stream) {}
  // Returns how many events ended in `bytes`.
  uint64_t Feed(std::string_view bytes, Duration now);

  uint64_t events() const { return events_; }  // with a final [DONE], without comments
  // Did the last byte end an event? If not, an event is cut.
  bool at_boundary() const { return !in_event_; }
  bool any() const { return any_; }
  Duration first_at() const { return first_at_; }
  Duration last_at() const { return last_at_; }
  // "completion_tokens" of the usage at the answer's end; -1: not told.
  int64_t UsageTokens() const;
  bool saw_done() const;
  // Tokens of the answer: told or counted.
  uint64_t Tokens() const;

 private:
  static constexpr size_t kTail = 512;
  bool event_stream_;
  bool any_ = false;
  bool in_event_ = false;
  bool line_empty_ = true;  // nothing on this line yet
  bool data_line_ = false;  // this event has a line that is not a comment
  uint64_t events_ = 0;
  Duration first_at_, last_at_;
  std::string tail_;
};

}  // namespace weir::gateway
