#include "app/market.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "app/setup.h"
#include "io/clock.h"
#include "io/files.h"
#include "lab/blueprint/suggest.h"
#include "lab/market/views.h"

namespace weir::app {

namespace {
constexpr int64_t kMaxBook = 256 << 20;

void AddBookFlags(CLI::App& c, BookFlags& f) {
  AddConnectionFlags(c, f.client);
  CLI::Option* book =
      c.add_option("--book", f.book, "A book of offers and contracts (default: DATA/market.json)");
  c.add_flag("--lab", f.lab, "The running lab's book, not a file")->excludes(book);
  for (const char* where : {"--url", "--key-file"})
    if (CLI::Option* option = c.get_option_no_throw(where)) option->excludes(book);
  c.add_flag("--json", f.client.json, "Print as JSON");
  c.add_option("--today", f.today,
               "The day to reckon from, as 2027-03-01 (default: the clock's; a lab's is its own)");
}

// The whole book of a running lab.
Result<OpenBook> OpenLab(const BookFlags& flags) {
  OpenBook out;
  out.lab = TRY(Client::Open(flags.client));
  const auto view = TRY(out.lab->GetAs<market::BookView>("/api/v1/book"));
  out.book = out.before = view.book;
  out.version = view.version;
  out.today = view.today;
  const std::string folder = TRY(DataFolder(flags.client, io::ProcessEnv()));
  TRY(io::MakeDirs(folder, 0700));
  out.path = folder + "/lab-market";
  return out;
}
}  // namespace

market::AcceleratorNames OpenBook::Names() const {
  return [known = book.accelerators](std::string_view name) {
    return blueprint::AcceleratorNamed(name, known);
  };
}

Status OpenBook::Save() const {
  if (!lab) return io::WriteFileAtomically(path, market::WriteBook(book), 0644);
  market::BookChange change = market::ChangeBetween(before, book);
  change.version = version;
  if (change.offers.empty() && change.contracts.empty() && !change.rates && !change.budgets &&
      !change.accelerators)
    return {};
  const auto done = lab->Ask("PUT", "/api/v1/book", wire::ToText(change));
  if (!done && done.error().code() == Code::kTooLarge)
    return Error(done.error()).Hint("say it in parts: a table of some thousand rows at a time");
  if (!done) return done.error();
  return {};
}

Result<OpenBook> Open(const BookFlags& flags) {
  if (flags.lab || !flags.client.url.empty() || !flags.client.key_file.empty()) {
    OpenBook out = TRY(OpenLab(flags));
    if (!flags.today.empty()) out.today = TRY(market::ParseDate(flags.today, "--today"));
    return out;
  }
  OpenBook out;
  out.today = flags.today.empty() ? market::Date::Of(io::RealClock().Now())
                                  : TRY(market::ParseDate(flags.today, "--today"));
  out.path = flags.book;
  if (out.path.empty()) {
    const std::string folder = TRY(DataFolder(flags.client, io::ProcessEnv()));
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
