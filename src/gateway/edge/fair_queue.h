// A bounded queue that is fair between principals: each has a line of its own, first come first
// served, and the lines take turns. One client that sends a thousand requests delays another by one
// request, not by a thousand. Waiting ends at a deadline.
//
// Pure: time comes in. Threads: none of its own; the owner locks.
// Cost: Push, Pop and Remove are logarithmic in the number waiting.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/units.h"

namespace weir::gateway {

template <class T>
class FairQueue {
 public:
  using Ticket = uint64_t;  // never 0

  size_t size() const { return where_.size(); }
  bool empty() const { return where_.empty(); }

  Ticket Push(const std::string& principal, T item, Duration deadline) {
    auto [line, fresh] = lines_.try_emplace(principal);
    if (fresh) turns_.push_back(line);
    const Ticket ticket = ++last_ticket_;
    line->second.push_back({ticket, deadline, std::move(item)});
    where_[ticket] = {line, std::prev(line->second.end())};
    deadlines_.emplace(deadline.us, ticket);
    return ticket;
  }
  std::optional<T> Pop() {
    if (turns_.empty()) return std::nullopt;
    const Line line = turns_.front();
    turns_.splice(turns_.end(), turns_, turns_.begin());  // to the back of the round
    return Take(line, line->second.begin());
  }
  // Takes one out of the middle: its client left.
  std::optional<T> Remove(Ticket ticket) {
    const auto found = where_.find(ticket);
    if (found == where_.end()) return std::nullopt;
    const auto [line, item] = found->second;
    return Take(line, item);
  }
  // Those whose deadline is not after `now`, earliest first.
  std::vector<T> Expire(Duration now) {
    std::vector<T> out;
    while (!deadlines_.empty() && deadlines_.begin()->first <= now.us) {
      out.push_back(*Remove(deadlines_.begin()->second));
    }
    return out;
  }

 private:
  struct Item {
    Ticket ticket;
    Duration deadline;
    T value;
  };
  using Items = std::list<Item>;
  using Lines = std::map<std::string, Items>;
  using Line = typename Lines::iterator;

  T Take(Line line, typename Items::iterator item) {
    T value = std::move(item->value);
    where_.erase(item->ticket);
    const auto [first, last] = deadlines_.equal_range(item->deadline.us);
    for (auto it = first; it != last; ++it) {
      if (it->second == item->ticket) {
        deadlines_.erase(it);
        break;
      }
    }
    line->second.erase(item);
    if (line->second.empty()) {
      turns_.remove(line);
      lines_.erase(line);
    }
    return value;
  }

  Lines lines_;            // no line is empty
  std::list<Line> turns_;  // each line once; the front is next
  std::map<Ticket, std::pair<Line, typename Items::iterator>> where_;
  std::multimap<int64_t, Ticket> deadlines_;
  Ticket last_ticket_ = 0;
};

}  // namespace weir::gateway
