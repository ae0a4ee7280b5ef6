// What the commands of the market share: the book that they work on and how they end.
#pragma once

#include <functional>
#include <string>

#include "base/result.h"
#include "lab/market/book.h"

namespace CLI {
class App;
}

namespace weir::app {

struct BookFlags {
  std::string book;   // --book; empty: market.json in the data folder
  std::string data;   // --data
  std::string today;  // --today; empty: by the clock
  bool json = false;
};

struct OpenBook {
  market::Book book;
  std::string path;
  market::Date today;

  // Canonical names: the book's own, then the blueprint's.
  market::AcceleratorNames Names() const;
  Status Save() const;
};
// An absent book is an empty one: it is written by the first change.
Result<OpenBook> Open(const BookFlags& flags);

// A leaf below `group` with the book's flags; what `run` returns is printed.
CLI::App* AddBookLeaf(CLI::App& group, const std::string& name, const std::string& what,
                      const std::string& examples, int& exit_status,
                      std::function<Result<std::string>(const BookFlags&)> run);

// A day given by a flag, or today.
Result<market::Date> DayFlag(const std::string& text, const std::string& flag,
                             market::Date otherwise);

}  // namespace weir::app
