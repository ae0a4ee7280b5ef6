#include "app/market.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "app/client.h"
#include "app/setup.h"
#include "io/clock.h"
#include "io/files.h"
#include "lab/blueprint/hardware.h"
#include "lab/blueprint/suggest.h"
#include "lab/market/messages.h"

namespace weir::app {

namespace {
constexpr int64_t kMaxBook = 256 << 20;

void AddBookFlags(CLI::App& c, BookFlags& f) {
  c.add_option("--book", f.book, "The book of offers and contracts (default: DATA/market.json)");
  c.add_option("--data", f.data, "Data folder (default: $WEIR_DATA, else the XDG one)");
  c.add_option("--today", f.today, "The day to reckon from, as 2027-03-01 (default: the clock's)");
  c.add_flag("--json", f.json, "Print as JSON");
}
}  // namespace

market::AcceleratorNames OpenBook::Names() const {
  return [known = book.accelerators](std::string_view name) -> Result<std::string> {
    if (std::find(known.begin(), known.end(), name) != known.end()) return std::string(name);
    auto found = blueprint::FindAccelerator(name);
    if (!found) {
      std::vector<std::string> names = known;
      for (const blueprint::Accelerator& a : blueprint::AcceleratorPresets()) {
        names.push_back(a.name);
        names.insert(names.end(), a.aliases.begin(), a.aliases.end());
      }
      return Error(Code::kNotFound, fmt::format("accelerator \"{}\" is not known", name))
          .Hint(blueprint::Suggest(name, names, "weir blueprint accelerators",
                                   "a new one is taken with `weir offer add --new-accelerator`"));
    }
    return found->name;
  };
}

Status OpenBook::Save() const {
  return io::WriteFileAtomically(path, market::WriteBook(book), 0644);
}

Result<OpenBook> Open(const BookFlags& flags) {
  OpenBook out;
  out.today = flags.today.empty() ? market::Date::Of(io::RealClock().Now())
                                  : TRY(market::ParseDate(flags.today, "--today"));
  out.path = flags.book;
  if (out.path.empty()) {
    ClientFlags client;
    client.data = flags.data;
    const std::string folder = TRY(DataFolder(client, io::ProcessEnv()));
    TRY(io::MakeDirs(folder, 0700));
    out.path = folder + "/market.json";
  }
  auto text = io::ReadFile(out.path, kMaxBook);
  if (!text && text.error().code() == Code::kNotFound) return out;
  if (!text) return std::move(text).error();
  out.book = TRY(market::ReadBook(*text, out.path));
  return out;
}

CLI::App* AddBookLeaf(CLI::App& group, const std::string& name, const std::string& what,
                      const std::string& examples, int& exit_status,
                      std::function<Result<std::string>(const BookFlags&)> run) {
  CLI::App* leaf = group.add_subcommand(name, what);
  auto flags = std::make_shared<BookFlags>();
  AddBookFlags(*leaf, *flags);
  leaf->footer("Examples:\n" + examples);
  const std::string command = group.get_name() + " " + name;
  leaf->callback([flags, command, run = std::move(run), &exit_status] {
    const Result<std::string> text = run(*flags);
    if (!text) {
      exit_status = Complain(command, text.error());
      return;
    }
    fmt::print("{}", *text);
  });
  return leaf;
}

Result<market::Date> DayFlag(const std::string& text, const std::string& flag,
                             market::Date otherwise) {
  if (text.empty()) return otherwise;
  return market::ParseDate(text, flag);
}

}  // namespace weir::app
