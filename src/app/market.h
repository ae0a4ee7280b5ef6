// What the commands of the market share: the book that they work on and how they end.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "app/client.h"
#include "base/result.h"
#include "lab/market/book.h"

namespace CLI {
class App;
}

namespace weir::app {

struct BookFlags {
  std::string book;   // --book; empty: market.json in the data folder
  std::string today;  // --today; empty: by the clock
  bool lab = false;   // --lab, or a flag that says where it is: the running lab's book
  ClientFlags client;
  bool json() const { return client.json; }
};

struct OpenBook {
  market::Book book;
  std::string path;  // of the file; of a lab's book: where what lies beside a book is kept
  market::Date today;
  std::optional<Client> lab;

  // Canonical names: the book's own, then the blueprint's.
  market::AcceleratorNames Names() const;
  // Of a lab's book what was changed is sent, in one piece; kFailedPrecondition when somebody else
  // changed it meanwhile.
  Status Save() const;

  market::Book before;  // a lab's, as it was read, and its version
  std::string version;
};
// An absent file is an empty book: it is written by the first change.
Result<OpenBook> Open(const BookFlags& flags);

// A leaf below `group` with the book's flags; what `run` returns is printed.
CLI::App* AddBookLeaf(CLI::App& group, const std::string& name, const std::string& what,
                      const std::string& examples, int& exit_status,
                      std::function<Result<std::string>(const BookFlags&)> run);

// A day given by a flag, or today.
Result<market::Date> DayFlag(const std::string& text, const std::string& flag,
                             market::Date otherwise);

}  // namespace weir::app
