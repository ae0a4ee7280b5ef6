// `weir contract`: what was agreed, from draft to end. Flags and tables; the rules are lab/market.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "app/commands.h"
#include "app/market.h"
#include "app/table.h"
#include "io/clock.h"
#include "io/files.h"
#include "lab/market/import.h"
#include "lab/market/messages.h"

namespace weir::app {

namespace {

using namespace market;
using Json = nlohmann::ordered_json;

Json ContractJson(const Contract& c, Date today) {
  Json j = Json::parse(wire::ToText(c));
  j["phase"] = market::NameOf(PhaseOn(c, today));
  j["end"] = Text(EndOn(c, today));
  j["notice_by"] = Text(NoticeBy(c, today));
  j["delivered"] = QuantityOn(c, today, today);
  return j;
}

std::string EndText(const Contract& c, Date today) {
  return c.terms.term_months == 0 && !c.notice_on.is_set() && !c.leaves_on.is_set()
             ? "open"
             : Text(EndOn(c, today));
}

Result<std::string> List(const BookFlags& flags, bool all) {
  const OpenBook open = TRY(Open(flags));
  Json items = Json::array();
  Table table({"CONTRACT", "PROVIDER", "SITE", "ACCELERATOR", ">HAS", ">OF", ">PRICE/H", "PHASE",
               "START", "END", "NOTICE BY"});
  for (const Contract& c : open.book.contracts) {
    const ContractPhase phase = PhaseOn(c, open.today);
    if (phase == ContractPhase::kEnded && !all) continue;
    items.push_back(ContractJson(c, open.today));
    const Date by = NoticeBy(c, open.today);
    table.Add({c.id, Printable(c.provider), c.site.empty() ? "-" : Printable(c.site),
               c.terms.accelerator, std::to_string(QuantityOn(c, open.today, open.today)),
               std::to_string(c.quantity),
               HumanPrice(PriceOn(c, open.today, open.today), c.terms.currency),
               std::string(market::NameOf(phase)), Text(c.start), EndText(c, open.today),
               by.is_set() ? Text(by) : "-"});
  }
  if (flags.json()) return Dump({{"items", items}});
  if (table.empty())
    return std::string(
        "no contracts; draft one with `weir offer accept`, and --all shows those that ended\n");
  return table.Print(Style::For());
}

Result<std::string> Show(const BookFlags& flags, const std::string& id) {
  const OpenBook open = TRY(Open(flags));
  const Contract& c = open.book.contracts[TRY(ContractAt(open.book, id))];
  const Date today = open.today;
  if (flags.json()) return Dump(ContractJson(c, today));
  const Terms& t = c.terms;
  const auto money = [&](Money m) { return market::Human(m, t.currency); };
  std::string out = fmt::format(
      "{}: {} {} of {}{}, {}\n", c.id, c.quantity, t.accelerator, Printable(c.provider),
      c.site.empty() ? "" : " at site " + Printable(c.site), market::NameOf(PhaseOn(c, today)));
  const auto line = [&](std::string_view what, const std::string& text) {
    if (!text.empty()) out += fmt::format("  {:<14} {}\n", what, text);
  };
  line("from", fmt::format("{} until {}{}", Text(c.start), EndText(c, today),
                           t.renews ? ", renews by itself" : ""));
  if (const Date by = NoticeBy(c, today); by.is_set()) line("notice by", Text(by));
  line("price", HumanPrice(PriceOn(c, today, today), t.currency) + " an accelerator-hour");
  std::string steps;
  for (const PriceStep& s : t.steps)
    steps += fmt::format("{}{} from {}", steps.empty() ? "" : ", ", HumanPrice(s.price, t.currency),
                         Text(AddMonths(c.start, s.month)));
  line("price steps", steps);
  if (t.term_months > 0) {
    line("commitment",
         fmt::format("{}, {} of the hours paid in any case",
                     money(Commitment(t, c.quantity, c.start)), ShareText(t.take_or_pay_ppm)));
    line("early exit", fmt::format("{} of what is left is owed", ShareText(t.early_exit_ppm)));
  }
  if (t.prepay_ppm > 0) line("prepaid", ShareText(t.prepay_ppm));
  std::string swaps;
  for (const SwapOption& s : t.swaps)
    swaps += fmt::format("{}{} for each of {} from {}", swaps.empty() ? "" : ", ",
                         AmountText({s.ratio_ppm}), s.accelerator,
                         Text(AddMonths(c.start, s.from_month)));
  line("swap options", swaps);
  std::string sla;
  for (const SlaTier& tier : t.sla.tiers)
    sla += fmt::format("{}below {}: {}", sla.empty() ? "" : ", ", ShareText(tier.below_ppm),
                       ShareText(tier.credit_ppm));
  line("SLA credits", sla);
  if (t.sla.claim_days > 0) line("claim within", fmt::format("{} days", t.sla.claim_days));
  if (!c.deliveries.empty()) {
    out += "\ndeliveries:\n";
    for (const Delivery& d : c.deliveries) {
      const int late = d.delivered.is_set() ? d.delivered - d.promised : today - d.promised;
      out += fmt::format("  {:>6} promised {}, {}{}\n", d.quantity, Text(d.promised),
                         d.delivered.is_set() ? "delivered " + Text(d.delivered) : "outstanding",
                         late > 0 ? fmt::format(", {} days late", late) : "");
    }
  }
  if (!c.sla_months.empty()) {
    out += "\navailability:\n";
    for (const SlaMonth& m : c.sla_months) {
      const Money credit = CreditOf(c, m.month, m.availability_ppm, today);
      out += fmt::format(
          "  {}  {}  {}\n", MonthText(m.month), ShareText(m.availability_ppm),
          m.claimed.is_set() ? fmt::format("{} claimed", money(m.credited))
          : credit.micro > 0
              ? fmt::format("{} to claim{}", money(credit),
                            ClaimBy(c, m.month).is_set() ? " by " + Text(ClaimBy(c, m.month)) : "")
              : "no credit");
    }
  }
  out += "\nhistory:\n";
  for (const ContractEvent& e : c.events) out += fmt::format("  {}  {}\n", Text(e.on), e.what);
  return out;
}

Result<std::string> Owed(const BookFlags& flags, const std::string& id) {
  const OpenBook open = TRY(Open(flags));
  struct Sum {
    int64_t hours = 0;
    Money gross, at_least, if_used, prepaid;
  };
  std::map<int, Sum> months;
  std::string currency = open.book.currency;
  if (!id.empty()) currency = open.book.contracts[TRY(ContractAt(open.book, id))].terms.currency;
  for (const Contract& c : open.book.contracts) {
    if (!id.empty() && c.id != id) continue;
    for (const Obligation& o : Obligations(c, open.today)) {
      const auto amount = [&](Money m) -> Result<Money> {
        if (!id.empty()) return m;
        return InBookCurrency(open.book, m, c.terms.currency);
      };
      Sum& s = months[o.month];
      s.hours += o.accelerator_hours;
      s.gross += TRY(amount(o.gross));
      s.at_least += TRY(amount(o.cash_at_least()));
      s.if_used += TRY(amount(o.cash_if_used()));
      s.prepaid += TRY(amount(o.prepaid));
    }
  }
  if (flags.json()) {
    Json items = Json::array();
    for (const auto& [month, s] : months)
      items.push_back({{"month", MonthText(month)},
                       {"accelerator_hours", s.hours},
                       {"gross_micro", s.gross.micro},
                       {"prepaid_micro", s.prepaid.micro},
                       {"cash_at_least_micro", s.at_least.micro},
                       {"cash_if_used_micro", s.if_used.micro}});
    return Dump({{"currency", currency}, {"items", items}});
  }
  if (months.empty()) return std::string("nothing is owed: no contract is signed\n");
  Table table({"MONTH", ">ACCELERATOR-H", ">WORTH", ">PAID AHEAD", ">CASH AT LEAST",
               ">CASH IF ALL IS USED"});
  Sum all;
  for (const auto& [month, s] : months) {
    table.Add({MonthText(month), std::to_string(s.hours), market::Human(s.gross, currency),
               s.prepaid.micro != 0 ? market::Human(s.prepaid, currency) : "-",
               market::Human(s.at_least, currency), market::Human(s.if_used, currency)});
    all.hours += s.hours;
    all.gross += s.gross;
    all.at_least += s.at_least;
    all.if_used += s.if_used;
    all.prepaid += s.prepaid;
  }
  table.Add({"all", std::to_string(all.hours), market::Human(all.gross, currency),
             market::Human(all.prepaid, currency), market::Human(all.at_least, currency),
             market::Human(all.if_used, currency)});
  return table.Print(Style::For());
}

Result<std::string> DueText(const BookFlags& flags, const std::string& days, bool renewals,
                            bool calendar, const std::string& out_file) {
  const OpenBook open = TRY(Open(flags));
  const int n = static_cast<int>(TRY(ParseCount(days, "--days", 1, 36'600)));
  std::vector<Due> due = DueBetween(open.book, open.today, open.today + n, open.today);
  if (renewals)
    std::erase_if(due, [](const Due& d) {
      return d.kind != "notice by" && d.kind != "ends" && d.kind != "swap option" &&
             d.kind != "offer expires";
    });
  if (calendar) {
    const std::string text = ICalendar(due, io::RealClock().Now());
    if (out_file.empty()) return text;
    TRY(io::WriteFileAtomically(out_file, text, 0644));
    return fmt::format("{} events written to {}\n", due.size(), out_file);
  }
  if (flags.json()) {
    Json items = Json::array();
    for (const Due& d : due)
      items.push_back({{"on", Text(d.on)}, {"of", d.of}, {"kind", d.kind}, {"what", d.what}});
    return Dump({{"items", items}});
  }
  if (due.empty()) return fmt::format("nothing is due in the next {} days\n", n);
  Table table({"ON", ">IN DAYS", "WHAT", "OF", ""});
  for (const Due& d : due)
    table.Add({Text(d.on), std::to_string(d.on - open.today), d.kind, d.of, Printable(d.what)});
  return table.Print(Style::For());
}

// A change of one contract, and what it then looks like in a line.
Result<std::string> Change(const BookFlags& flags, const std::string& id,
                           const std::function<Status(Contract&, Date)>& change) {
  OpenBook open = TRY(Open(flags));
  Contract& c = open.book.contracts[TRY(ContractAt(open.book, id))];
  TRY(change(c, open.today));
  TRY(open.Save());
  if (flags.json()) return Dump(ContractJson(c, open.today));
  return fmt::format("{}: {}{}\n", c.id, market::NameOf(PhaseOn(c, open.today)),
                     c.events.empty() ? "" : "; " + c.events.back().what);
}

}  // namespace

void AddContractCommand(CLI::App& app, int& exit_status) {
  CLI::App* top = app.add_subcommand(
      "contract", "What was agreed: from draft to end, what is owed, what is due");
  top->require_subcommand(1);
  {
    auto all = std::make_shared<bool>(false);
    AddBookLeaf(*top, "list", "Contracts that have not ended", "  weir contract list --all --json",
                exit_status, [all](const BookFlags& f) { return List(f, *all); })
        ->add_flag("--all", *all, "Also those that ended");
  }
  {
    auto id = std::make_shared<std::string>();
    AddBookLeaf(*top, "show", "One contract: its terms, deliveries, credits and history",
                "  weir contract show contract-2", exit_status,
                [id](const BookFlags& f) { return Show(f, *id); })
        ->add_option("contract", *id, "Its id")
        ->required();
  }
  {
    auto id = std::make_shared<std::string>();
    AddBookLeaf(*top, "obligations", "What is owed, month by month",
                "  weir contract obligations\n  weir contract obligations contract-2 --json",
                exit_status, [id](const BookFlags& f) { return Owed(f, *id); })
        ->add_option("contract", *id, "Only of this one, in its own currency");
  }
  const auto due = [&](const char* name, const char* what, const char* examples, bool renewals,
                       bool calendar) {
    auto days = std::make_shared<std::string>(calendar ? "1100" : "365");
    auto out = std::make_shared<std::string>();
    CLI::App* c = AddBookLeaf(*top, name, what, examples, exit_status, [=](const BookFlags& f) {
      return DueText(f, *days, renewals, calendar, *out);
    });
    c->add_option("--days", *days, "How far ahead")->capture_default_str();
    if (calendar) c->add_option("--out", *out, "Write to this file");
  };
  due("due", "Everything that is due: deliveries, notice, price steps, claims, expiries",
      "  weir contract due --days 90", false, false);
  due("renewals", "What ends, renews, can be swapped or lapses, and by when to decide",
      "  weir contract renewals --days 180 --json", true, false);
  due("calendar", "The same as iCalendar, for any calendar program",
      "  weir contract calendar --out weir.ics", false, true);

  struct Given {
    std::string id, on, what;
    int64_t quantity = 0;
  };
  using Step = std::function<Status(Contract&, const Given&, Date on, Date today)>;
  const auto step = [&](const char* name, const char* what, const char* examples,
                        const char* on_help, Step run) {
    auto g = std::make_shared<Given>();
    CLI::App* c =
        AddBookLeaf(*top, name, what, examples, exit_status, [g, run](const BookFlags& f) {
          return Change(f, g->id, [&](Contract& contract, Date today) -> Status {
            return run(contract, *g, TRY(DayFlag(g->on, "--on", today)), today);
          });
        });
    c->add_option("contract", g->id, "Its id")->required();
    if (on_help[0] != 0) c->add_option("--on", g->on, on_help);
    return std::pair(c, g);
  };
  step("sign", "A draft was signed: deliveries are promised from now on",
       "  weir contract sign contract-2 --on 2026-12-01", "The day (default: today)",
       [](Contract& c, const Given&, Date on, Date today) { return Sign(c, on, today); });
  {
    const auto [c, g] =
        step("deliver", "Accelerators came: the oldest promises are met first",
             "  weir contract deliver contract-2 128 --on 2027-01-10", "The day (default: today)",
             [](Contract& x, const Given& given, Date on, Date today) {
               return Deliver(x, given.quantity, on, today);
             });
    c->add_option("quantity", g->quantity, "Accelerators")->required();
  }
  step("notice", "Notice was given: it does not renew",
       "  weir contract notice contract-2 --on 2029-09-01", "The day (default: today)",
       [](Contract& c, const Given&, Date on, Date today) { return GiveNotice(c, on, today); });
  step("renew", "One more term was agreed", "  weir contract renew contract-2", "",
       [](Contract& c, const Given&, Date, Date today) { return Renew(c, today); });
  step("leave", "It is left before its end; what is owed for that is worked out",
       "  weir contract leave contract-2 --on 2028-01-01", "The first day without it",
       [](Contract& c, const Given&, Date on, Date today) { return Leave(c, on, today); });
  {
    const auto [c, g] =
        step("sla", "Note a month's availability", "  weir contract sla contract-2 2027-05=99.2%",
             "", [](Contract& x, const Given& given, Date, Date today) -> Status {
               const size_t equals = given.what.find('=');
               if (equals == std::string::npos)
                 return Error(Code::kInvalidArgument, fmt::format("\"{}\" has no '='", given.what))
                     .Hint("write MONTH=AVAILABILITY, as 2027-05=99.2%");
               return NoteAvailability(
                   x, TRY(ParseMonth(given.what.substr(0, equals), "month")),
                   TRY(ParseShare(given.what.substr(equals + 1), "availability")), today);
             });
    c->add_option("month", g->what, "MONTH=AVAILABILITY")->required();
  }
  {
    const auto [c, g] =
        step("claim", "A month's credit was claimed", "  weir contract claim contract-2 2027-05",
             "The day (default: today)",
             [](Contract& x, const Given& given, Date on, Date today) -> Status {
               return ClaimCredit(x, TRY(ParseMonth(given.what, "month")), on, today);
             });
    c->add_option("month", g->what, "As 2027-05")->required();
  }
  {
    auto g = std::make_shared<Given>();
    CLI::App* c = AddBookLeaf(
        *top, "swap", "Use a swap option: ends this contract and drafts the one that follows",
        "  weir contract swap contract-2 b200-sxm --on 2028-01-01", exit_status,
        [g](const BookFlags& f) -> Result<std::string> {
          OpenBook open = TRY(Open(f));
          const std::string to = TRY(open.Names()(g->what));
          const Date on = TRY(DayFlag(g->on, "--on", open.today));
          const std::string next = TRY(Swap(open.book, g->id, to, on, open.today));
          TRY(open.Save());
          const Contract& drafted = *open.book.FindContract(next);
          if (f.json()) return Dump(ContractJson(drafted, open.today));
          return fmt::format("{}: a draft for {} {} from {} on\nsign it: weir contract sign {}\n",
                             next, drafted.quantity, to, Text(on), next);
        });
    c->add_option("contract", g->id, "Its id")->required();
    c->add_option("accelerator", g->what, "To have instead")->required();
    c->add_option("--on", g->on, "The first day (default: today)");
  }
}

}  // namespace weir::app
