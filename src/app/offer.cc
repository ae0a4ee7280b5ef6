// `weir offer`: what providers would rent. Flags and tables; the market is lab/market, what an
// offer does for a model is lab/blueprint.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "app/client_commands.h"
#include "app/commands.h"
#include "app/market.h"
#include "app/table.h"
#include "base/csv.h"
#include "io/files.h"
#include "lab/blueprint/plan_run.h"
#include "lab/blueprint/spec.h"
#include "lab/market/evaluate.h"
#include "lab/market/import.h"
#include "lab/market/messages.h"

namespace weir::app {

namespace {

using namespace market;
using Json = nlohmann::ordered_json;

constexpr int64_t kMaxTable = 256 << 20;

// ---- add: one row of a table of quotes, its cells given as flags ----

struct QuoteFlag {
  const char *flag, *column, *what;
};
constexpr QuoteFlag kQuoteFlags[] = {
    {"--provider", "provider", "Who offers it"},
    {"--name", "name", "The provider's word for it: a quote number, an instance type"},
    {"--accelerator", "accelerator", "Such as h100-sxm: `weir blueprint accelerators`"},
    {"--region", "region", "As the provider writes it"},
    {"--capacity", "capacity", "reserved, on-demand or spot (default: by the term)"},
    {"--quantity", "quantity", "Accelerators, the most that can be had"},
    {"--min-quantity", "min_quantity", "The fewest (default: one lot)"},
    {"--lot", "lot", "They come in multiples of this (default: 1)"},
    {"--price", "price", "With its unit: $2.10/h, 2.30EUR/h, $16.80/node/h, $1500/month"},
    {"--price-steps", "price_steps", "Later prices by month of the term: 12:1.95;24:1.80"},
    {"--term-months", "term_months", "Length of the commitment (default: none, by the hour)"},
    {"--start", "start", "Promised first day, as 2027-03-01"},
    {"--lead-days", "lead_days", "From signing to the first day"},
    {"--ramp", "ramp", "Accelerators in all by month of the term: 0:128;2:512"},
    {"--take-or-pay", "take_or_pay", "Share of the hours paid in any case (default: 100%)"},
    {"--prepay", "prepay", "Share of the commitment paid at signing (default: 0%)"},
    {"--notice-days", "notice_days", "Before the end, to stop it from renewing"},
    {"--renews", "renews", "It renews by itself: yes or no (default)"},
    {"--renewal-months", "renewal_months", "For how long (default: the term again)"},
    {"--renewal-price", "renewal_price", "As the price (default: the last price)"},
    {"--early-exit", "early_exit", "Share of the rest owed on leaving early (default: 100%)"},
    {"--end-follows-delivery", "end_follows_delivery", "Late delivery moves the end: yes or no"},
    {"--swaps", "swaps", "Swap options: b200-sxm@12x0.5=$4.20/h (from month 12, half of one each)"},
    {"--sla", "sla", "Credits by availability of a month: 99.9%:10%;99%:30%"},
    {"--sla-claim-days", "sla_claim_days", "After the month's end, to claim them"},
    {"--sla-cap", "sla_cap", "Most that is credited of a month (default: 100%)"},
    {"--received", "received", "The day it came (default: today)"},
    {"--expires", "expires", "Last day on which it stands"},
    {"--list-price", "list_price", "Of a public price list, which needs no expiry: yes or no"},
    {"--note", "note", "For people"},
};

std::string PutText(const Put& put, bool json) {
  const std::string state = put.is_new ? "new" : put.changed.empty() ? "unchanged" : "quoted anew";
  if (json) return Dump({{"id", put.id}, {"state", state}, {"changed", put.changed}});
  std::string out = fmt::format("{}: {}\n", put.id, state);
  for (const std::string& c : put.changed) out += fmt::format("  {}\n", c);
  return out;
}

Result<std::string> Add(const BookFlags& flags, const std::map<std::string, std::string>& cells,
                        const std::string& new_accelerator) {
  OpenBook open = TRY(Open(flags));
  if (!new_accelerator.empty() &&
      std::find(open.book.accelerators.begin(), open.book.accelerators.end(), new_accelerator) ==
          open.book.accelerators.end())
    open.book.accelerators.push_back(new_accelerator);
  for (const char* needed : {"provider", "accelerator", "price"})
    if (!cells.contains(needed))
      return Error(Code::kInvalidArgument, fmt::format("--{} is missing", needed))
          .Hint("`weir offer add --help` has examples");
  std::string heading, row;
  for (const auto& [column, value] : cells) {
    heading += (heading.empty() ? "" : ",") + column;
    row += (row.empty() ? "" : ",") + CsvCell(value);
  }
  const Imported read = TRY(ReadOffers(heading + "\n" + row + "\n", "the command line",
                                       {open.today, "", kNoDate, open.Names()}));
  if (!read.problems.empty())
    return Error(Code::kInvalidArgument, read.problems[0].what).Hint(read.problems[0].hint);
  if (read.offers.empty())
    return Error(Code::kInvalidArgument, "--price is empty").Hint("write it as $2.10/h");
  Offer offer = read.offers[0];
  offer.source = "weir offer add";
  const Put put = TRY(PutOffer(open.book, std::move(offer), open.today));
  TRY(open.Save());
  return PutText(put, flags.json());
}

struct ImportFlags {
  std::string file, provider, expires;
  bool skip_bad = false;
};

Result<std::string> Import(const BookFlags& flags, const ImportFlags& f) {
  OpenBook open = TRY(Open(flags));
  const ImportOptions options {
    open.today, f.provider, TRY(DayFlag(f.expires, "--expires", kNoDate))
    , open.Names()
  };
  Imported read = TRY(ReadOffers(TRY(io::ReadFile(f.file, kMaxTable)), f.file, options));
  int added = 0, quoted = 0, unchanged = 0;
  for (Offer& o : read.offers) {
    const std::string source = o.source;
    const auto put = PutOffer(open.book, std::move(o), open.today);
    if (!put) {
      const size_t at = source.rfind("line ");
      read.problems.push_back({at == source.npos ? 0 : std::atoi(source.c_str() + at + 5),
                               put.error().message(), put.error().hint()});
      continue;
    }
    ++(put->is_new ? added : put->changed.empty() ? unchanged : quoted);
  }
  if (!read.problems.empty() && !f.skip_bad) {
    std::string all;
    for (size_t i = 0; i < read.problems.size() && i < 20; ++i) {
      const RowProblem& p = read.problems[i];
      all += fmt::format("\n  line {}: {}{}", p.line, p.what,
                         p.hint.empty() ? "" : fmt::format(" ({})", p.hint));
    }
    if (read.problems.size() > 20) all += fmt::format("\n  and {} more", read.problems.size() - 20);
    return Error(Code::kInvalidArgument,
                 fmt::format("{}: {} rows cannot be right; nothing was imported:{}\n", f.file,
                             read.problems.size(), all))
        .Hint("mend them, or import the others with --skip-bad");
  }
  TRY(open.Save());
  if (flags.json()) {
    Json bad = Json::array();
    for (const RowProblem& p : read.problems)
      bad.push_back({{"line", p.line}, {"what", p.what}, {"hint", p.hint}});
    return Dump({{"kind", read.kind},
                 {"added", added},
                 {"quoted_anew", quoted},
                 {"unchanged", unchanged},
                 {"without_price", read.without_price},
                 {"without_accelerator", read.without_accelerator},
                 {"skipped", bad}});
  }
  std::string out = fmt::format("{}: {} offers added, {} quoted anew, {} unchanged\n", f.file,
                                added, quoted, unchanged);
  if (read.without_price + read.without_accelerator > 0)
    out += fmt::format("left out: {} rows without a price, {} without an accelerator\n",
                       read.without_price, read.without_accelerator);
  for (const RowProblem& p : read.problems)
    out += fmt::format("skipped line {}: {}{}\n", p.line, p.what,
                       p.hint.empty() ? "" : fmt::format(" ({})", p.hint));
  return out;
}

// ---- choosing offers ----

struct Choice {
  std::vector<std::string> ids;
  std::string accelerator, provider, capacity;
  bool all = false;  // also those that are not open
};
void AddChoice(CLI::App& c, Choice& choice) {
  c.add_option("offers", choice.ids, "Ids of offers (default: all that are open)");
  c.add_option("--accelerator", choice.accelerator, "Only of this accelerator");
  c.add_option("--provider", choice.provider, "Only of this provider");
  c.add_option("--capacity", choice.capacity, "Only reserved, on-demand or spot")
      ->check(CLI::IsMember({"reserved", "on-demand", "spot"}));
}
Result<std::vector<const Offer*>> Chosen(const OpenBook& open, const Choice& choice) {
  std::vector<const Offer*> out;
  for (const std::string& id : choice.ids)
    out.push_back(&open.book.offers[TRY(OfferAt(open.book, id))]);
  if (!choice.ids.empty()) return out;
  std::string accelerator;
  if (!choice.accelerator.empty()) accelerator = TRY(open.Names()(choice.accelerator));
  for (const Offer& o : open.book.offers) {
    if (!choice.all && StateOn(o, open.today) != OfferState::kOpen) continue;
    if (!accelerator.empty() && o.terms.accelerator != accelerator) continue;
    if (!choice.provider.empty() && o.provider != choice.provider) continue;
    if (!choice.capacity.empty() && market::NameOf(o.terms.capacity) != choice.capacity) continue;
    out.push_back(&o);
  }
  return out;
}

std::string QuantityText(const Terms& t) {
  return t.quantity > 0 ? std::to_string(t.quantity) : fmt::format("{}+", t.smallest());
}

Json OfferJson(const Offer& o, Date today) {
  Json j = Json::parse(wire::ToText(o));
  j["state"] = market::NameOf(StateOn(o, today));
  return j;
}

Result<std::string> List(const BookFlags& flags, const Choice& choice, bool csv) {
  const OpenBook open = TRY(Open(flags));
  const std::vector<const Offer*> offers = TRY(Chosen(open, choice));
  if (csv) {
    std::vector<Offer> copies;
    for (const Offer* o : offers) copies.push_back(*o);
    return WriteOffers(copies);
  }
  if (flags.json()) {
    Json items = Json::array();
    for (const Offer* o : offers) items.push_back(OfferJson(*o, open.today));
    return Dump({{"items", items}});
  }
  if (offers.empty())
    return std::string("no offers; add one with `weir offer add` or `weir offer import`\n");
  Table table({"OFFER", "PROVIDER", "ACCELERATOR", "REGION", "CAPACITY", ">COUNT", ">PRICE/H",
               ">MONTHS", "STATE", "EXPIRES", "NAME"});
  for (const Offer* o : offers) {
    const Terms& t = o->terms;
    table.Add({o->id, Printable(o->provider), t.accelerator, Printable(t.region),
               std::string(market::NameOf(t.capacity)), QuantityText(t),
               HumanPrice(t.price, t.currency),
               t.term_months > 0 ? std::to_string(t.term_months) : "-",
               std::string(market::NameOf(StateOn(*o, open.today))),
               o->expires.is_set() ? Text(o->expires) : "-", Printable(o->name)});
  }
  return table.Print(Style::For());
}

// ---- what they are worth ----

struct WorthFlags {
  int64_t quantity = 0;
  int months = 12;
  std::string use = "100%", capital = "10%", prior_late, bridge, energy;
  double pue = 1.2, failures = 3.79;
  bool prior_given = false;
  // what it is for
  std::string model, tokens, by;
  double batch = 256, sequence = 4096;
  bool serve = false;
  double input = 1024, output = 1024;
  std::string ttft, tpot;
};

void AddWorth(CLI::App& c, WorthFlags& f) {
  c.add_option("--quantity", f.quantity, "Accelerators (default: all that each offers)")
      ->check(CLI::Range(1, 10'000'000));
  c.add_option("--months", f.months, "Looked at, of capacity by the hour")
      ->check(CLI::Range(1, 240))
      ->capture_default_str();
  c.add_option("--use", f.use, "Share of the hours that the lab has work for")
      ->capture_default_str();
  c.add_option("--capital", f.capital, "Cost of capital a year")->capture_default_str();
  c.add_option(
      "--late", f.prior_late,
      "Days that a delivery is expected late, before a provider has a record (default: 14d "
      "for reserved, none by the hour)");
  c.add_option("--bridge", f.bridge,
               "Price elsewhere while it is late, as $4/h (default: the cheapest open offer by the "
               "hour of the same accelerator)");
  c.add_option("--energy", f.energy, "Price of a kWh where the lab pays for energy, as 0.08");
  c.add_option("--pue", f.pue, "Power of the site over power of the machines")
      ->check(CLI::Range(1.0, 3.0))
      ->capture_default_str();
  c.add_option("--failures", f.failures, "Failures per 1,000 node-days")
      ->check(CLI::Range(0.0, 1e5))
      ->capture_default_str();
  c.add_option("--model", f.model,
               "What it is for: a model (`weir blueprint models`) or TOML file");
  c.add_option("--tokens", f.tokens, "Training: tokens, as 15T (default: 1T)");
  c.add_option("--batch", f.batch, "Training: sequences per step")
      ->check(CLI::Range(1.0, 1e7))
      ->capture_default_str();
  c.add_option("--sequence", f.sequence, "Training: tokens per sequence")
      ->check(CLI::Range(1.0, 1e7))
      ->capture_default_str();
  c.add_flag("--serve", f.serve, "Serving the model instead of training it");
  c.add_option("--input", f.input, "Serving: tokens of a request")
      ->check(CLI::Range(1.0, 1e7))
      ->capture_default_str();
  c.add_option("--output", f.output, "Serving: tokens of an answer")
      ->check(CLI::Range(1.0, 1e7))
      ->capture_default_str();
  c.add_option("--ttft", f.ttft, "Serving: target of the time to first token, as 500ms");
  c.add_option("--tpot", f.tpot, "Serving: target of the time per output token, as 30ms");
}

// An offer, what it costs and what it does, all in the book's currency.
struct Worth {
  const Offer* offer = nullptr;
  Evaluation e;
  double to_book = 1;  // of one unit of the offer's currency
  double days_late = 0;
  std::string bridge;  // where the work goes meanwhile
  double goodput = 1;
  std::string why_not;            // no figure for the model
  double per_million_tokens = 0;  // 0: not asked or not known
  double low = 0, high = 0;       // 80% of it, training
  double days = 0;                // of the training run
  std::string layout;
};

class Appraiser {
 public:
  static Result<Appraiser> Make(const OpenBook& open, const WorthFlags& f) {
    Appraiser a(open, f);
    a.use_ = static_cast<double>(TRY(ParseShare(f.use, "--use"))) / 1e6;
    a.capital_ = static_cast<double>(TRY(ParseShare(f.capital, "--capital"))) / 1e6;
    if (!f.prior_late.empty()) {
      const double seconds = TRY(SecondsFlag("--late", f.prior_late, 0));
      a.prior_late_ = seconds / 86400;
    }
    if (!f.energy.empty()) {
      const auto amount = ParseAmount(f.energy);
      if (!amount || amount->micro < 0)
        return Error(Code::kInvalidArgument, fmt::format("--energy: \"{}\" is no price", f.energy))
            .Hint("write the price of a kWh in the book's currency, as 0.08");
      a.energy_ = *amount;
    }
    if (!f.bridge.empty()) {
      const Price p = TRY(ParsePrice(f.bridge, "--bridge"));
      a.bridge_ = TRY(InBookCurrency(open.book, p.amount, p.currency));
    }
    if (!f.model.empty()) a.shape_ = TRY(ShapeOf(f.model));
    if (!f.tokens.empty())
      a.tokens_ =
          TRY(blueprint::ParseQuantity(f.tokens, blueprint::Dimension::kTokens, "--tokens"));
    a.targets_.ttft_s = TRY(SecondsFlag("--ttft", f.ttft, 0));
    a.targets_.tpot_s = TRY(SecondsFlag("--tpot", f.tpot, 0));
    if (f.serve && !a.shape_)
      return Error(Code::kInvalidArgument, "--serve needs a --model")
          .Hint("name one: `weir blueprint models`");
    return a;
  }

  Result<Worth> Of(const Offer& o) const {
    Worth w;
    w.offer = &o;
    const Money one = TRY(InBookCurrency(open_.book, {kWhole}, o.terms.currency));
    w.to_book = one.units();
    Assumptions a;
    a.signed_on = open_.today;
    a.quantity = f_.quantity;
    a.months = f_.months;
    a.use = use_;
    a.capital_rate = capital_;
    a.days_late = DaysLate(o);
    w.days_late = a.days_late;
    if (a.days_late > 0) Bridge(o, a, w);
    const auto accelerator = blueprint::FindAccelerator(o.terms.accelerator);
    if (accelerator && energy_.micro > 0) {
      a.kilowatts = accelerator->node_watts / 1000 * f_.pue;
      a.energy_price = {static_cast<int64_t>(static_cast<double>(energy_.micro) / w.to_book)};
    }
    w.e = TRY(Evaluate(o, a));
    if (!accelerator) {
      w.why_not = fmt::format("the blueprint does not know {}", o.terms.accelerator);
      return w;
    }
    const double before = w.e.before_failures() * w.to_book;
    Ask(*accelerator, static_cast<int>(std::min<int64_t>(w.e.quantity, 1'000'000)), before, w);
    a.goodput = std::max(1e-6, w.goodput);
    w.e = TRY(Evaluate(o, a));
    return w;
  }

  bool asks() const { return shape_.has_value(); }
  bool serves() const { return f_.serve; }

 private:
  Appraiser(const OpenBook& open, const WorthFlags& f) : open_(open), f_(f) {}

  static Result<blueprint::ModelShape> ShapeOf(const std::string& model) {
    if (!model.ends_with(".toml")) return blueprint::FindModel(model);
    return blueprint::ParseModelToml(TRY(io::ReadFile(model, 1 << 20)), model);
  }

  double DaysLate(const Offer& o) const {
    if (!prior_late_) return UsualDaysLate(open_.book, o, open_.today);
    if (o.terms.capacity != Capacity::kReserved) return *prior_late_;
    return ExpectedDaysLate(open_.book, o.provider, *prior_late_, open_.today);
  }

  void Bridge(const Offer& o, Assumptions& a, Worth& w) const {
    std::optional<Money> price = bridge_;
    w.bridge = "--bridge";
    if (!price) {
      const Offer* other = CheapestByTheHour(open_.book, o.terms.accelerator, open_.today);
      if (other == nullptr) {
        w.bridge = "nowhere: the work waits";
        return;
      }
      price =
          InBookCurrency(open_.book, other->terms.price, other->terms.currency).value_or(Money{});
      w.bridge = other->id;
    }
    a.bridge = Money{static_cast<int64_t>(static_cast<double>(price->micro) / w.to_book)};
  }

  // Goodput, and the price of a million tokens if a model is named.
  void Ask(const blueprint::Accelerator& accelerator, int count, double dollars_per_hour,
           Worth& w) const {
    blueprint::TrainQuestion q;
    q.cluster.accelerator = accelerator;
    q.cluster.count = count;
    q.reliability.failures_per_1000_node_days = f_.failures;
    q.site.price_per_accelerator_hour = dollars_per_hour;
    const blueprint::Calibration& c = blueprint::BuiltinCalibration();
    if (!shape_) {
      w.goodput = blueprint::GoodputOfFullJob(q.cluster, q.reliability).share();
      return;
    }
    if (f_.serve) {
      blueprint::ServeQuestion s;
      s.shape = *shape_;
      s.accelerator = accelerator;
      s.work = {std::floor(f_.input), std::floor(f_.output), 0};
      s.keys = {blueprint::DefaultServeEngine(accelerator), accelerator.name, ""};
      s.site = q.site;
      // Replicas fail one by one: a failed one is away until it is repaired, the others serve on.
      w.goodput = 1 / (1 + f_.failures / 1000 * q.reliability.repair_h / 24);
      const blueprint::ServingModel model(s.shape, s.accelerator, c.knobs.At(s.keys));
      const auto precision =
          accelerator.fp8_flops > 0 ? blueprint::Precision::kFp8 : blueprint::Precision::kBf16;
      const auto found =
          blueprint::SearchServing(model, accelerator, count, s.work, {precision}, targets_, 1);
      if (found.best.empty()) {
        w.why_not = found.binding;
        return;
      }
      s.work.concurrency = found.best[0].concurrency;
      w.per_million_tokens =
          blueprint::Answer(c, s, found.best[0]).dollars_per_million_output_tokens / w.goodput;
      return;
    }
    q.shape = *shape_;
    q.work = {std::floor(f_.sequence), std::floor(f_.batch), true, false};
    q.keys.engine = blueprint::DefaultTrainEngine(accelerator);
    q.tokens = tokens_;
    blueprint::SearchSpace space;
    space.count = count;
    space.keep = 1;
    for (const auto p : {blueprint::Precision::kFp8, blueprint::Precision::kMxfp8})
      if (accelerator.Flops(p) > 0) space.precisions.push_back(p);
    blueprint::SearchResult search;
    const auto answers = blueprint::SearchAnswers(c, q, space, &search);
    if (answers.empty()) {
      w.why_not = search.binding;
      w.goodput = blueprint::GoodputOf(q.cluster, blueprint::CountParameters(q.shape).total(),
                                       q.reliability)
                      .share();
      return;
    }
    const blueprint::TrainAnswer& answer = answers[0];
    w.goodput = answer.goodput.share();
    w.per_million_tokens = answer.cost.dollars_per_million_tokens;
    if (answer.cost.dollars > 0) {
      w.low = w.per_million_tokens * answer.cost.low_dollars / answer.cost.dollars;
      w.high = w.per_million_tokens * answer.cost.high_dollars / answer.cost.dollars;
    }
    w.days = answer.cost.days;
    w.layout = blueprint::Describe(answer.candidate.layout);
  }

  const OpenBook& open_;
  const WorthFlags& f_;
  double use_ = 1, capital_ = 0.1, tokens_ = 1e12;
  std::optional<double> prior_late_;
  Money energy_;
  std::optional<Money> bridge_;
  std::optional<blueprint::ModelShape> shape_;
  blueprint::ServeTargets targets_;
};

Json WorthJson(const Worth& w) {
  const Evaluation& e = w.e;
  const double f = w.to_book;
  Json j = {{"offer", w.offer->id},
            {"provider", w.offer->provider},
            {"accelerator", w.offer->terms.accelerator},
            {"quantity", e.quantity},
            {"start", Text(e.start)},
            {"end", Text(e.end)},
            {"currency", w.offer->terms.currency},
            {"commitment_micro", e.commitment.micro},
            {"at_signing_micro", e.at_signing.micro},
            {"useful_accelerator_hours", e.useful_hours},
            {"goodput", w.goodput},
            {"expected_days_late", w.days_late},
            {"per_effective_accelerator_hour",
             {{"price", e.price * f},
              {"unused", e.unused * f},
              {"prepayment_and_timing", e.timing * f},
              {"late_delivery", e.delivery * f},
              {"energy", e.energy * f},
              {"failures", e.failures * f},
              {"total", e.rate * f}}}};
  if (w.per_million_tokens > 0) {
    j["per_million_tokens"] = w.per_million_tokens;
    if (w.high > 0) j["per_million_tokens_80pct"] = {w.low, w.high};
    if (w.days > 0) j["training_days"] = w.days;
    if (!w.layout.empty()) j["layout"] = w.layout;
  }
  if (!w.why_not.empty()) j["why_not"] = w.why_not;
  return j;
}

std::string Rate(double v) { return fmt::format("{:.3f}", v); }
std::string Part(double v) { return std::abs(v) < 0.0005 ? "-" : fmt::format("{:+.3f}", v); }

Result<std::string> Compare(const BookFlags& flags, const Choice& choice, const WorthFlags& f,
                            size_t top) {
  const OpenBook open = TRY(Open(flags));
  const std::vector<const Offer*> offers = TRY(Chosen(open, choice));
  if (offers.empty())
    return Error(Code::kNotFound, "no offer is open that could be compared")
        .Hint("`weir offer list --all` shows every one; `weir offer add` adds one");
  const Appraiser appraiser = TRY(Appraiser::Make(open, f));
  std::vector<Worth> worths;
  for (const Offer* o : offers) worths.push_back(TRY(appraiser.Of(*o)));
  const bool asks = appraiser.asks();
  std::stable_sort(worths.begin(), worths.end(), [&](const Worth& a, const Worth& b) {
    if (asks && (a.per_million_tokens > 0) != (b.per_million_tokens > 0))
      return a.per_million_tokens > 0;
    if (asks && a.per_million_tokens > 0) return a.per_million_tokens < b.per_million_tokens;
    return a.e.rate * a.to_book < b.e.rate * b.to_book;
  });
  const size_t shown = std::min(top, worths.size());
  if (flags.json()) {
    Json items = Json::array();
    for (size_t i = 0; i < shown; ++i) {
      Json j = WorthJson(worths[i]);
      if (i > 0)
        j["differs_from_first"] = Differences(worths[0].offer->terms, worths[i].offer->terms);
      items.push_back(j);
    }
    return Dump({{"currency", open.book.currency}, {"compared", worths.size()}, {"items", items}});
  }
  std::vector<std::string> heads = {"OFFER", "PROVIDER", "ACCELERATOR", ">COUNT",
                                    "FROM",  ">PRICE",   ">UNUSED",     ">PREPAID",
                                    ">LATE", ">ENERGY",  ">FAILURES",   ">= PER H"};
  if (asks) heads.push_back(f.serve ? ">PER M SERVED" : ">PER M TRAINED");
  if (asks && !f.serve) heads.push_back(">DAYS");
  Table table(heads);
  for (size_t i = 0; i < shown; ++i) {
    const Worth& w = worths[i];
    const Evaluation& e = w.e;
    const double x = w.to_book;
    std::vector<Cell> row = {w.offer->id,
                             Printable(w.offer->provider),
                             w.offer->terms.accelerator,
                             std::to_string(e.quantity),
                             Text(e.start),
                             Rate(e.price * x),
                             Part(e.unused * x),
                             Part(e.timing * x),
                             Part(e.delivery * x),
                             Part(e.energy * x),
                             Part(e.failures * x),
                             Cell(Rate(e.rate * x), i == 0 ? Colour::kGreen : Colour::kNone)};
    if (asks) row.push_back(w.per_million_tokens > 0 ? Rate(w.per_million_tokens) : "-");
    if (asks && !f.serve) row.push_back(w.days > 0 ? fmt::format("{:.1f}", w.days) : "-");
    table.Add(std::move(row));
  }
  std::string out =
      fmt::format("{} per accelerator-hour of useful work; {} of the hours used, capital at {}\n\n",
                  open.book.currency, f.use, f.capital);
  out += table.Print(Style::For());
  if (shown < worths.size())
    out += fmt::format("and {} more: --top {}\n", worths.size() - shown, worths.size());
  std::string notes;
  for (size_t i = 0; i < shown; ++i) {
    const Worth& w = worths[i];
    if (asks && !w.why_not.empty())
      notes += fmt::format("  {}: no figure for {}: {}\n", w.offer->id, f.model, w.why_not);
    if (i == 0) continue;
    std::string differs;
    for (const std::string& d : Differences(worths[0].offer->terms, w.offer->terms))
      differs += (differs.empty() ? "" : "; ") + d;
    if (!differs.empty()) notes += fmt::format("  {}: {}\n", w.offer->id, differs);
  }
  if (!notes.empty())
    out += fmt::format("\nterms that differ from {}:\n{}", worths[0].offer->id, notes);
  return out;
}

Result<std::string> EvaluateOne(const BookFlags& flags, const std::string& id,
                                const WorthFlags& f) {
  const OpenBook open = TRY(Open(flags));
  const Offer& o = open.book.offers[TRY(OfferAt(open.book, id))];
  const Appraiser appraiser = TRY(Appraiser::Make(open, f));
  const Worth w = TRY(appraiser.Of(o));
  if (flags.json()) {
    Json j = WorthJson(w);
    j["terms"] = OfferJson(o, open.today);
    return Dump(j);
  }
  const Evaluation& e = w.e;
  const Terms& t = o.terms;
  std::string out = fmt::format(
      "{}: {} {} of {}{}, {}\n", o.id, e.quantity, t.accelerator, Printable(o.provider),
      t.region.empty() ? "" : " in " + Printable(t.region), market::NameOf(StateOn(o, open.today)));
  out +=
      fmt::format("  if signed {}: {} to {}; {} owed in any case, {} of it at signing\n\n",
                  Text(open.today), Text(e.start), Text(e.end),
                  market::Human(e.commitment, t.currency), market::Human(e.at_signing, t.currency));
  const auto line = [&](std::string_view what, double v, const std::string& why) {
    out += fmt::format("  {:<22} {:>9}  {}\n", what, Rate(v), why);
  };
  line("price", e.price, "the average over the term");
  if (e.unused != 0)
    line("paid but not used", e.unused, fmt::format("{} of the hours used", f.use));
  if (std::abs(e.timing) > 0.0005)
    line("prepayment, timing", e.timing, fmt::format("capital at {} a year", f.capital));
  if (w.days_late > 0)
    line("late delivery", e.delivery,
         fmt::format("{:.0f} days expected, bridged by {}", w.days_late, w.bridge));
  if (e.energy > 0) line("energy", e.energy, "paid by the lab");
  line("failures", e.failures, fmt::format("{:.1f}% of the time is work kept", 100 * w.goodput));
  line("per useful hour", e.rate, t.currency);
  if (w.per_million_tokens > 0)
    out += fmt::format("\n  {} {} a million tokens {}{}\n", Rate(w.per_million_tokens),
                       open.book.currency, f.serve ? "served" : "trained",
                       w.high > 0 ? fmt::format(" ({} .. {}), {:.1f} days, {}", Rate(w.low),
                                                Rate(w.high), w.days, w.layout)
                                  : "");
  if (!w.why_not.empty()) out += fmt::format("\n  no figure for a model: {}\n", w.why_not);
  if (o.history.size() > 1) {
    out += "\nquotes:\n";
    for (size_t i = 0; i < o.history.size(); ++i) {
      out += fmt::format("  {}  {} an hour", Text(o.history[i].on),
                         HumanPrice(o.history[i].terms.price, o.history[i].terms.currency));
      if (i > 0)
        for (const std::string& d : Differences(o.history[i - 1].terms, o.history[i].terms))
          out += "; " + d;
      out += "\n";
    }
  }
  return out;
}

Result<std::string> AcceptOne(const BookFlags& flags, const std::string& id, int64_t quantity,
                              const std::string& site) {
  OpenBook open = TRY(Open(flags));
  const size_t at = TRY(OfferAt(open.book, id));
  if (quantity == 0) quantity = open.book.offers[at].terms.quantity;
  if (quantity == 0)
    return Error(Code::kInvalidArgument, fmt::format("{} does not state how many there are", id))
        .Hint("say how many: --quantity N");
  const std::string contract = TRY(Accept(open.book, id, quantity, site, open.today));
  TRY(open.Save());
  const Contract& c = *open.book.FindContract(contract);
  if (flags.json()) return Dump(Json::parse(wire::ToText(c)));
  return fmt::format(
      "{}: a draft for {} {}, {} owed over its term\nsign it: weir contract sign {}\n", contract,
      c.quantity, c.terms.accelerator,
      market::Human(Commitment(c.terms, c.quantity, c.start), c.terms.currency), contract);
}

Result<std::string> DeclineOne(const BookFlags& flags, const std::string& id,
                               const std::string& why) {
  OpenBook open = TRY(Open(flags));
  TRY(Decline(open.book, id, why, open.today));
  TRY(open.Save());
  if (flags.json()) return Dump(OfferJson(*open.book.FindOffer(id), open.today));
  return fmt::format("{}: declined\n", id);
}

}  // namespace

void AddOfferCommand(CLI::App& app, int& exit_status) {
  CLI::App* top = app.add_subcommand(
      "offer", "What providers would rent: quotes with their history, compared by what they do");
  top->require_subcommand(1);
  {
    auto cells = std::make_shared<std::map<std::string, std::string>>();
    auto fresh = std::make_shared<std::string>();
    CLI::App* c = AddBookLeaf(
        *top, "add", "Write an offer in, or a new quote of one that is there",
        "  weir offer add --provider northern --name q-17 --accelerator h100-sxm --quantity 512 "
        "--lot 8 \\\n      --price '$2.10/h' --price-steps '12:1.95;24:1.80' --term-months 36 "
        "--lead-days 60 --prepay 20% \\\n      --sla '99.9%:10%;99%:30%' --expires 2027-01-31\n"
        "  weir offer add --provider acme --accelerator b200 --price '$5.50/h' --list-price yes",
        exit_status, [cells, fresh](const BookFlags& f) { return Add(f, *cells, *fresh); });
    for (const QuoteFlag& q : kQuoteFlags)
      c->add_option_function<std::string>(
          q.flag,
          [cells, column = std::string(q.column)](const std::string& v) { (*cells)[column] = v; },
          q.what);
    c->add_option("--new-accelerator", *fresh,
                  "Take this name of an accelerator though the blueprint does not know it");
  }
  {
    auto f = std::make_shared<ImportFlags>();
    CLI::App* c = AddBookLeaf(
        *top, "import", "Take offers from a CSV: quotes, a price table or a provider's catalog",
        "  weir offer import quotes.csv\n  weir offer import catalog.csv --provider lambda\n"
        "  weir offer import prices.csv --skip-bad --json",
        exit_status, [f](const BookFlags& b) { return Import(b, *f); });
    c->add_option("file", f->file, "The table; docs/market.md lists the columns")->required();
    c->add_option("--provider", f->provider, "Whose it is, where the table does not say");
    c->add_option("--expires", f->expires, "Of rows that name no expiry, as 2027-01-31");
    c->add_flag("--skip-bad", f->skip_bad, "Import the other rows when some cannot be right");
  }
  {
    auto choice = std::make_shared<Choice>();
    auto csv = std::make_shared<bool>(false);
    CLI::App* c = AddBookLeaf(*top, "list", "The offers that are open",
                              "  weir offer list --accelerator h100\n  weir offer list --all "
                              "--json\n  weir offer list --csv > quotes.csv",
                              exit_status,
                              [choice, csv](const BookFlags& b) { return List(b, *choice, *csv); });
    AddChoice(*c, *choice);
    c->add_flag("--all", choice->all, "Also those accepted, declined or expired");
    c->add_flag("--csv", *csv, "As a table that `weir offer import` reads");
  }
  {
    auto choice = std::make_shared<Choice>();
    auto f = std::make_shared<WorthFlags>();
    auto top_n = std::make_shared<size_t>(10);
    CLI::App* c = AddBookLeaf(
        *top, "compare", "Offers side by side: the cost of an hour or a token of useful work",
        "  weir offer compare --accelerator h100 --quantity 256\n"
        "  weir offer compare offer-3 offer-7 --model llama3-70b --tokens 2T --batch 1024\n"
        "  weir offer compare --capacity reserved --model llama3-70b --serve --ttft 1s --tpot 40ms "
        "--quantity 8",
        exit_status,
        [choice, f, top_n](const BookFlags& b) { return Compare(b, *choice, *f, *top_n); });
    AddChoice(*c, *choice);
    AddWorth(*c, *f);
    c->add_option("--top", *top_n, "How many to print")
        ->check(CLI::Range(1, 100'000))
        ->capture_default_str();
  }
  {
    auto id = std::make_shared<std::string>();
    auto f = std::make_shared<WorthFlags>();
    CLI::App* c = AddBookLeaf(
        *top, "evaluate", "What one offer costs for useful work, part by part, with its quotes",
        "  weir offer evaluate offer-3\n  weir offer evaluate offer-3 --use 70% --late 60d "
        "--bridge '$4/h'",
        exit_status, [id, f](const BookFlags& b) { return EvaluateOne(b, *id, *f); });
    c->add_option("offer", *id, "Its id")->required();
    AddWorth(*c, *f);
  }
  {
    auto id = std::make_shared<std::string>();
    auto quantity = std::make_shared<int64_t>(0);
    auto site = std::make_shared<std::string>();
    CLI::App* c = AddBookLeaf(
        *top, "accept", "Draft a contract from an offer; signing comes after",
        "  weir offer accept offer-3 --quantity 256 --site east", exit_status,
        [id, quantity, site](const BookFlags& b) { return AcceptOne(b, *id, *quantity, *site); });
    c->add_option("offer", *id, "Its id")->required();
    c->add_option("--quantity", *quantity, "Accelerators (default: all of it)")
        ->check(CLI::Range(1, 10'000'000));
    c->add_option("--site", *site, "Of the lab, where it is delivered");
  }
  {
    auto id = std::make_shared<std::string>();
    auto why = std::make_shared<std::string>();
    CLI::App* c = AddBookLeaf(*top, "decline", "Turn an offer down",
                              "  weir offer decline offer-3 --why 'too late'", exit_status,
                              [id, why](const BookFlags& b) { return DeclineOne(b, *id, *why); });
    c->add_option("offer", *id, "Its id")->required();
    c->add_option("--why", *why, "Kept with it");
  }
}

}  // namespace weir::app
