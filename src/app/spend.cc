// `weir spend`: who cost what, and whether the invoices say the same. The sums are lab/market's.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "app/commands.h"
#include "app/market.h"
#include "app/table.h"
#include "io/files.h"
#include "lab/market/import.h"
#include "lab/market/ledger.h"
#include "lab/market/messages.h"
#include "lab/market/views.h"

namespace weir::app {

namespace {

using namespace market;
using Json = nlohmann::ordered_json;
constexpr int64_t kMaxTable = 256 << 20;

Result<FocusTable> InvoiceOf(const std::string& file) {
  auto t = FocusTable::Parse(TRY(io::ReadFile(file, kMaxTable)));
  if (!t) return std::move(t).error().In(file);
  return t;
}
// Invoices that were imported lie beside the book.
std::string InvoicePath(const OpenBook& open) { return open.path + ".invoices.csv"; }

Result<std::string> Check(const std::string& file, bool fragment, bool json, int& exit_status) {
  const FocusTable t = TRY(InvoiceOf(file));
  const auto findings = Validate(t, fragment ? Strictness::kFragment : Strictness::kComplete);
  const auto balances = BalanceOf(t);
  const auto errors =
      std::count_if(findings.begin(), findings.end(), [](const Finding& f) { return f.error; });
  exit_status = errors > 0 ? InfoOf(Code::kInvalidArgument).exit_status : 0;
  if (json) {
    Json items = Json::array(), sums = Json::array();
    for (const Finding& f : findings)
      items.push_back({{"rule", f.rule},
                       {"line", f.line},
                       {"severity", f.error ? "error" : "remark"},
                       {"what", f.what}});
    if (balances)
      for (const Balance& b : *balances)
        sums.push_back({{"commitment", b.commitment},
                        {"rows", b.rows},
                        {"billed_micro", b.billed.micro},
                        {"effective_micro", b.effective.micro},
                        {"used_micro", b.used.micro},
                        {"unused_micro", b.unused.micro},
                        {"left_micro", b.left.micro}});
    return Dump({{"rows", t.size()}, {"errors", errors}, {"findings", items}, {"balances", sums}});
  }
  std::string out;
  for (size_t i = 0; i < findings.size() && i < 100; ++i) {
    const Finding& f = findings[i];
    out += fmt::format("{} {}{}: {}\n", f.error ? "error " : "remark",
                       f.line > 0 ? fmt::format("line {} ", f.line) : "", f.rule, f.what);
  }
  if (findings.size() > 100) out += fmt::format("and {} more\n", findings.size() - 100);
  out += fmt::format("{} rows, {} errors, {} remarks\n", t.size(), errors,
                     findings.size() - static_cast<size_t>(errors));
  if (balances && !balances->empty()) {
    Table table({"COMMITMENT", ">ROWS", ">BILLED", ">EFFECTIVE", ">USED", ">UNUSED", ">LEFT"});
    for (const Balance& b : *balances)
      table.Add({b.commitment.empty() ? "none" : Printable(b.commitment), std::to_string(b.rows),
                 AmountText(b.billed, 2), AmountText(b.effective, 2), AmountText(b.used, 2),
                 AmountText(b.unused, 2), AmountText(b.left, 2)});
    out += "\n" + table.Print(Style::For());
  }
  return out;
}

Result<std::string> Import(const BookFlags& flags, const std::string& file, bool fragment) {
  const OpenBook open = TRY(Open(flags));
  const FocusTable t = TRY(InvoiceOf(file));
  for (const Finding& f : Validate(t, fragment ? Strictness::kFragment : Strictness::kComplete))
    if (f.error)
      return Error(Code::kInvalidArgument,
                   fmt::format("{}{}: {}", file, f.line > 0 ? fmt::format(" line {}", f.line) : "",
                               f.what))
          .Hint(fmt::format("`weir spend check {}` lists all that is wrong; --fragment lets "
                            "columns be missing",
                            file));
  const std::string path = InvoicePath(open);
  auto before = io::ReadFile(path, kMaxTable);
  if (!before && before.error().code() != Code::kNotFound) return std::move(before).error();
  FocusTable all = before ? TRY(FocusTable::Parse(*before)) : FocusTable(t.columns());
  const size_t had = all.size();
  // The same invoice twice would double what is billed.
  const auto identity = [](const FocusTable& x, size_t row) {
    std::string s;
    for (const FocusColumn& c : FocusColumns())
      s += std::string(x.Cell(row, c.name).value_or("")) + '\x1f';
    return s;
  };
  if (had > 0 && t.size() > 0) {
    const std::string first = identity(t, 0);
    for (size_t row = 0; row < had; ++row)
      if (identity(all, row) == first)
        return Error(Code::kAlreadyExists,
                     fmt::format("{}: its first row was imported before", file))
            .Hint(fmt::format("the invoices are in {}; take it out there to import it anew", path));
  }
  all.Append(t);
  TRY(io::WriteFileAtomically(path, all.ToCsv(), 0644));
  if (flags.json()) return Dump({{"imported", t.size()}, {"rows", all.size()}, {"file", path}});
  return fmt::format("{} rows imported; {} in {}\n", t.size(), all.size(), path);
}

struct LedgerFlags {
  std::string leases, from, to;
};
void AddLedgerFlags(CLI::App& c, LedgerFlags& f) {
  c.add_option("--leases", f.leases,
               "CSV: lease, team, slots, from, to; and accelerator, site, holder, loan, lenders "
               "(with --lab: those of its journal)");
  c.add_option("--from", f.from, "First month, as 2027-01 (default: that of the first contract)");
  c.add_option("--to", f.to, "Last month (default: this one)");
}
Result<Ledger> LedgerOf(const OpenBook& open, const LedgerFlags& f) {
  const int to = f.to.empty() ? MonthOf(open.today) : TRY(ParseMonth(f.to, "--to"));
  const int from = f.from.empty() ? std::min(to, FirstMonth(open.book, open.today))
                                  : TRY(ParseMonth(f.from, "--from"));
  if (!f.leases.empty()) {
    const UseTable uses =
        TRY(ReadUses(TRY(io::ReadFile(f.leases, kMaxTable)), f.leases, open.Names()));
    return MakeLedger(open.book, uses.uses, uses.shares, from, to, open.today);
  }
  if (!open.lab)
    return Error(Code::kInvalidArgument, "--leases is missing: who used what")
        .Hint("name a table of leases, or take those of a running lab with --lab");
  auto view = TRY(open.lab->GetAs<LedgerView>(
      fmt::format("/api/v1/spend?from={}&to={}", MonthText(from), MonthText(to))));
  return std::move(view.ledger);
}

Result<std::string> ShowLedger(const BookFlags& flags, const LedgerFlags& f) {
  const OpenBook open = TRY(Open(flags));
  const Ledger l = TRY(LedgerOf(open, f));
  if (flags.json()) {
    Json entries = Json::array(), months = Json::array(), loans = Json::array();
    for (const Entry& e : l.entries)
      entries.push_back({{"month", MonthText(e.month)},
                         {"contract", e.contract},
                         {"team", e.team},
                         {"loan", e.loan},
                         {"slot_seconds", e.slot_seconds},
                         {"cost_micro", e.cost.micro}});
    for (const ContractMonth& m : l.months)
      months.push_back({{"month", MonthText(m.month)},
                        {"contract", m.contract},
                        {"had_seconds", m.had_seconds},
                        {"used_seconds", m.used_seconds},
                        {"gross_micro", m.gross.micro},
                        {"owed_micro", m.owed.micro},
                        {"used_micro", m.used.micro},
                        {"idle_micro", m.idle.micro},
                        {"due_micro", m.due.micro}});
    for (const LoanCost& c : l.loans)
      loans.push_back({{"loan", c.loan}, {"lender", c.lender}, {"cost_micro", c.cost.micro}});
    return Dump({{"currency", l.currency},
                 {"entries", entries},
                 {"contract_months", months},
                 {"loans", loans},
                 {"idle_micro", l.idle().micro},
                 {"owed_micro", l.owed().micro},
                 {"uncovered_slot_seconds", l.uncovered_slot_seconds}});
  }
  if (l.months.empty())
    return std::string(
        "no contract cost anything in these months; --from and --to choose others\n");
  const auto money = [&](Money m) { return market::Human(m, l.currency); };
  Table table({"MONTH", "CONTRACT", ">HAD H", ">USED H", ">OWED", ">USED", ">IDLE"});
  for (const ContractMonth& m : l.months)
    table.Add({MonthText(m.month), m.contract, std::to_string(m.had_seconds / 3600),
               std::to_string(m.used_seconds / 3600), money(m.owed), money(m.used), money(m.idle)});
  std::string out = table.Print(Style::For());
  std::map<std::string, std::pair<int64_t, Money>> teams;
  for (const Entry& e : l.entries) {
    teams[e.team].first += e.slot_seconds;
    teams[e.team].second += e.cost;
  }
  Table by_team({"TEAM", ">SLOT-H", ">COST"});
  for (const auto& [team, sum] : teams)
    by_team.Add({Printable(team), std::to_string(sum.first / 3600), money(sum.second)});
  by_team.Add({"idle", "", money(l.idle())});
  by_team.Add({"all", "", money(l.owed())});
  out += "\n" + by_team.Print(Style::For());
  if (!l.loans.empty()) {
    Table loans({"LOAN", "LENT BY", ">COST"});
    for (const LoanCost& c : l.loans)
      loans.Add({c.loan, c.lender.empty() ? "idle capacity" : Printable(c.lender), money(c.cost)});
    out += "\n" + loans.Print(Style::For());
  }
  if (l.uncovered_slot_seconds > 0)
    out += fmt::format(
        "\n{} slot-hours ran beyond what any contract provided: they cost nothing "
        "here; see that leases and contracts name the same sites and accelerators\n",
        l.uncovered_slot_seconds / 3600);
  return out;
}

Result<std::string> Export(const BookFlags& flags, const LedgerFlags& f, const std::string& out) {
  const OpenBook open = TRY(Open(flags));
  const FocusTable t = ToFocus(open.book, TRY(LedgerOf(open, f)), "lab");
  if (out.empty()) return t.ToCsv();
  TRY(io::WriteFileAtomically(out, t.ToCsv(), 0644));
  if (flags.json()) return Dump({{"rows", t.size()}, {"file", out}});
  return fmt::format("{} rows written to {}\n", t.size(), out);
}

Result<std::string> Reconciled(const BookFlags& flags, const LedgerFlags& f,
                               const std::string& invoice) {
  const OpenBook open = TRY(Open(flags));
  const std::string file = invoice.empty() ? InvoicePath(open) : invoice;
  auto table = InvoiceOf(file);
  if (!table && invoice.empty() && table.error().code() == Code::kNotFound)
    return Error(Code::kNotFound, "no invoice was imported yet")
        .Hint("import one: `weir spend import FILE`, or name it with --invoice FILE");
  const Ledger ledger = TRY(LedgerOf(open, f));
  const auto differences = TRY(Reconcile(open.book, ledger, TRY(std::move(table))));
  if (flags.json()) {
    Json items = Json::array();
    for (const Difference& d : differences)
      items.push_back({{"kind", d.kind},
                       {"contract", d.contract},
                       {"month", MonthText(d.month)},
                       {"expected_micro", d.expected.micro},
                       {"billed_micro", d.billed.micro},
                       {"line", d.line},
                       {"what", d.what}});
    return Dump({{"currency", ledger.currency}, {"differences", items}});
  }
  if (differences.empty()) return std::string("the invoice and the ledger agree to the cent\n");
  Table t({"MONTH", "CONTRACT", "WHAT", ">EXPECTED", ">BILLED", ">DIFFERENCE", ""});
  for (const Difference& d : differences)
    t.Add({MonthText(d.month), Printable(d.contract), d.kind,
           market::Human(d.expected, ledger.currency), market::Human(d.billed, ledger.currency),
           market::Human(d.billed - d.expected, ledger.currency), Printable(d.what)});
  return t.Print(Style::For());
}

Result<std::string> Burn(const BookFlags& flags, const LedgerFlags& f) {
  const OpenBook open = TRY(Open(flags));
  const Ledger l = TRY(LedgerOf(open, f));
  const auto burns = BurnDowns(open.book, l, open.today);
  if (flags.json()) {
    Json items = Json::array();
    for (const BurnDown& b : burns)
      items.push_back({{"contract", b.contract},
                       {"committed_micro", b.committed.micro},
                       {"used_micro", b.used.micro},
                       {"wasted_micro", b.wasted.micro},
                       {"months_past", b.months_past},
                       {"months_left", b.months_left},
                       {"use_share", b.use_share},
                       {"true_up_forecast_micro", b.true_up.micro}});
    return Dump({{"currency", l.currency}, {"items", items}});
  }
  if (burns.empty()) return std::string("no contract has a commitment\n");
  const auto money = [&](Money m) { return market::Human(m, l.currency); };
  Table t({"CONTRACT", ">COMMITTED", ">USED", ">UNUSED SO FAR", ">MONTHS LEFT", ">LAST MONTH'S USE",
           ">PAID UNUSED BY THE END"});
  for (const BurnDown& b : burns)
    t.Add({b.contract, money(b.committed), money(b.used), money(b.wasted),
           std::to_string(b.months_left), fmt::format("{:.0f}%", 100 * b.use_share),
           money(b.true_up)});
  return t.Print(Style::For());
}

struct BudgetFlags {
  std::string team, amount, from, to;
};
Result<std::string> SetBudget(const BookFlags& flags, const BudgetFlags& f) {
  OpenBook open = TRY(Open(flags));
  Budget b;
  b.team = f.team;
  b.first_month = TRY(ParseMonth(f.from, "--from"));
  b.last_month = TRY(ParseMonth(f.to, "--to"));
  const auto amount = ParseAmount(f.amount);
  if (!amount || amount->micro < 0)
    return Error(Code::kInvalidArgument, fmt::format("amount: \"{}\" is none", f.amount))
        .Hint(fmt::format("write it in {}, as 250000", open.book.currency));
  b.amount = *amount;
  if (b.last_month < b.first_month)
    return Error(Code::kInvalidArgument, fmt::format("--to {} is before --from {}", f.to, f.from))
        .Hint("are the two months swapped?");
  std::erase_if(open.book.budgets, [&](const Budget& x) {
    return x.team == b.team && x.first_month == b.first_month && x.last_month == b.last_month;
  });
  open.book.budgets.push_back(b);
  TRY(open.Save());
  return fmt::format("{}: {} from {} to {}\n", b.team, market::Human(b.amount, open.book.currency),
                     MonthText(b.first_month), MonthText(b.last_month));
}

Result<std::string> Budgets(const BookFlags& flags, const LedgerFlags& f) {
  const OpenBook open = TRY(Open(flags));
  const Ledger l = TRY(LedgerOf(open, f));
  const auto states = BudgetStates(open.book, l, open.today);
  if (flags.json()) {
    Json items = Json::array();
    for (const BudgetState& s : states)
      items.push_back({{"team", s.budget.team},
                       {"from", MonthText(s.budget.first_month)},
                       {"to", MonthText(s.budget.last_month)},
                       {"amount_micro", s.budget.amount.micro},
                       {"spent_micro", s.spent.micro},
                       {"forecast_micro", s.forecast.micro},
                       {"used_up_in", s.month_over > 0 ? MonthText(s.month_over) : ""}});
    return Dump({{"currency", l.currency}, {"items", items}});
  }
  if (states.empty()) return std::string("no budgets; set one with `weir spend set-budget`\n");
  const auto money = [&](Money m) { return market::Human(m, l.currency); };
  Table t({"TEAM", "FROM", "TO", ">BUDGET", ">SPENT", ">FORECAST", "USED UP IN"});
  for (const BudgetState& s : states)
    t.Add({Printable(s.budget.team), MonthText(s.budget.first_month),
           MonthText(s.budget.last_month), money(s.budget.amount), money(s.spent),
           money(s.forecast),
           s.month_over > 0 ? Cell(MonthText(s.month_over), Colour::kRed) : Cell("-")});
  return t.Print(Style::For());
}

Result<std::string> SetRate(const BookFlags& flags, const std::string& currency,
                            const std::string& worth) {
  OpenBook open = TRY(Open(flags));
  const auto amount = ParseAmount(worth);
  if (!IsCurrency(currency) || currency == open.book.currency || !amount || amount->micro <= 0)
    return Error(Code::kInvalidArgument,
                 fmt::format("\"{} {}\" is no exchange rate", currency, worth))
        .Hint(fmt::format("write another currency than {} and what one of it is worth: EUR 1.08",
                          open.book.currency));
  std::erase_if(open.book.rates, [&](const Rate& r) { return r.currency == currency; });
  open.book.rates.push_back({currency, *amount, open.today});
  TRY(open.Save());
  return fmt::format("1 {} is {} {}\n", currency, AmountText(*amount), open.book.currency);
}

}  // namespace

void AddSpendCommand(CLI::App& app, int& exit_status) {
  CLI::App* top = app.add_subcommand(
      "spend", "Who cost what: the ledger, invoices (FOCUS 1.2), budgets, commitments");
  top->require_subcommand(1);
  {
    auto file = std::make_shared<std::string>();
    auto fragment = std::make_shared<bool>(false);
    CLI::App* c = AddBookLeaf(
        *top, "check", "Hold an invoice to FOCUS 1.2, and add up each commitment",
        "  weir spend check invoice.csv\n  weir spend check excerpt.csv --fragment --json",
        exit_status, [file, fragment, &exit_status](const BookFlags& f) {
          return Check(*file, *fragment, f.json(), exit_status);
        });
    c->add_option("file", *file, "The invoice")->required();
    c->add_flag("--fragment", *fragment, "An excerpt: columns may be missing");
  }
  {
    auto file = std::make_shared<std::string>();
    auto fragment = std::make_shared<bool>(false);
    CLI::App* c =
        AddBookLeaf(*top, "import", "Keep an invoice beside the book",
                    "  weir spend import invoice-2027-01.csv", exit_status,
                    [file, fragment](const BookFlags& f) { return Import(f, *file, *fragment); });
    c->add_option("file", *file, "The invoice, FOCUS 1.2 CSV")->required();
    c->add_flag("--fragment", *fragment, "Columns may be missing");
  }
  const auto with_ledger =
      [&](const char* name, const char* what, const char* examples,
          std::function<Result<std::string>(const BookFlags&, const LedgerFlags&)> run) {
        auto l = std::make_shared<LedgerFlags>();
        CLI::App* c = AddBookLeaf(*top, name, what, examples, exit_status,
                                  [l, run](const BookFlags& f) { return run(f, *l); });
        AddLedgerFlags(*c, *l);
        return c;
      };
  with_ledger("ledger", "Leases x contract price: by team, idle, loans",
              "  weir spend ledger --lab\n"
              "  weir spend ledger --leases leases.csv --from 2027-01 --to 2027-03",
              ShowLedger);
  {
    auto out = std::make_shared<std::string>();
    with_ledger("export", "The ledger as FOCUS 1.2",
                "  weir spend export --leases leases.csv --out ledger.csv",
                [out](const BookFlags& f, const LedgerFlags& l) { return Export(f, l, *out); })
        ->add_option("--out", *out, "Write to this file (default: print)");
  }
  {
    auto invoice = std::make_shared<std::string>();
    with_ledger(
        "reconcile", "Invoices against the ledger: every difference, with its kind",
        "  weir spend reconcile --leases leases.csv --invoice invoice.csv",
        [invoice](const BookFlags& f, const LedgerFlags& l) { return Reconciled(f, l, *invoice); })
        ->add_option("--invoice", *invoice, "FOCUS 1.2 CSV (default: those that were imported)");
  }
  with_ledger("burndown", "Use against commitments, and what will have been paid for nothing",
              "  weir spend burndown --leases leases.csv", Burn);
  with_ledger("budgets", "What teams spent of their budgets, and when they are used up",
              "  weir spend budgets --leases leases.csv", Budgets);
  {
    auto b = std::make_shared<BudgetFlags>();
    CLI::App* c = AddBookLeaf(*top, "set-budget", "Give a team a budget for some months",
                              "  weir spend set-budget vision 250000 --from 2027-01 --to 2027-12",
                              exit_status, [b](const BookFlags& f) { return SetBudget(f, *b); });
    c->add_option("team", b->team, "Whose")->required();
    c->add_option("amount", b->amount, "In the book's currency")->required();
    c->add_option("--from", b->from, "First month, as 2027-01")->required();
    c->add_option("--to", b->to, "Last month, counted")->required();
  }
  {
    auto currency = std::make_shared<std::string>();
    auto worth = std::make_shared<std::string>();
    CLI::App* c = AddBookLeaf(
        *top, "rate", "What one of another currency is worth", "  weir spend rate EUR 1.08",
        exit_status,
        [currency, worth](const BookFlags& f) { return SetRate(f, *currency, *worth); });
    c->add_option("currency", *currency, "Three letters")->required();
    c->add_option("worth", *worth, "In the book's currency")->required();
  }
}

}  // namespace weir::app
