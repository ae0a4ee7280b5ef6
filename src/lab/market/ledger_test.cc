#include "lab/market/ledger.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/csv.h"
#include "base/random.h"

namespace weir::market {
namespace {

using ::testing::Contains;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string Shared(const std::string& path) {
  const char* shared = std::getenv("WEIR_SHARED");
  std::ifstream file(shared ? std::string(shared) + "/" + path : "");
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

int Errors(const std::vector<Finding>& findings) {
  return static_cast<int>(
      std::count_if(findings.begin(), findings.end(), [](const Finding& f) { return f.error; }));
}

TEST(Focus, TheColumnsAreThoseOfTheSpecification) {
  const std::string text = Shared("planning/focus_1_2_columns.csv");
  if (text.empty()) GTEST_SKIP() << "WEIR_SHARED has no FOCUS columns";
  const CsvTable t = *CsvTable::Parse(text);
  ASSERT_EQ(t.size(), FocusColumns().size());
  for (size_t i = 0; i < t.size(); ++i) {
    const FocusColumn& c = FocusColumns()[i];
    EXPECT_EQ(t.Cell(i, "column"), c.name);
    EXPECT_EQ(t.Cell(i, "nulls") == "True", c.may_be_null) << c.name;
    EXPECT_EQ(t.Cell(i, "feature_level") == "Mandatory", c.level == FocusColumn::Level::kMandatory);
    EXPECT_EQ(t.Cell(i, "data_type") == "Decimal", c.kind == FocusColumn::Kind::kDecimal) << c.name;
  }
}

// What each published case bills and what its use is worth, summed by hand from the files.
TEST(Focus, ThePublishedCommitmentCasesBalanceToTheCent) {
  const struct {
    const char* file;
    int64_t billed_cents, effective_cents, left_cents;
    int errors;
  } cases[] = {
      {"commitment_discount_purchase_scenario_1", 876000, 0, 876000, 0},
      {"commitment_discount_purchase_scenario_2", 300, 0, 300, 1},  // an hour 30
      {"commitment_discount_usage_scenario_1", 0, 100, -100, 0},
      {"commitment_discount_usage_scenario_2", 0, 100, -100, 0},
      {"commitment_discount_usage_scenario_4", 50, 150, -100, 0},
      {"one_hundred_percent_utilization_with_commitment_discount_flexibility_with_1_resource", 275,
       275, 0, 0},
      {"one_hundred_percent_utilization_without_commitment_discount_flexibility", 150, 150, 0, 0},
      {"zero_percent_utilization_without_commitment_discount_flexibility", 350, 350, 0, 0},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.file);
    const std::string text = Shared(fmt::format("planning/focus_commitment_cases/{}.csv", c.file));
    if (text.empty()) GTEST_SKIP() << "WEIR_SHARED has no FOCUS cases";
    const FocusTable t = *FocusTable::Parse(text);
    const auto findings = Validate(t, Strictness::kFragment);
    EXPECT_EQ(Errors(findings), c.errors) << (findings.empty() ? "" : findings[0].what);
    Money billed, effective, left;
    const auto balances = *BalanceOf(t);
    for (const Balance& b : balances) {
      billed += b.billed;
      effective += b.effective;
      left += b.left;
    }
    EXPECT_EQ(billed.micro, c.billed_cents * 10'000);
    EXPECT_EQ(effective.micro, c.effective_cents * 10'000);
    EXPECT_EQ(left.micro, c.left_cents * 10'000);
    EXPECT_EQ(FocusTable::Parse(t.ToCsv())->ToCsv(), t.ToCsv());
  }
}

TEST(Focus, AnAmortisedPurchaseIsWorthADollarAnHourAndAllOfItInTheEnd) {
  const Time start = Date::Of(2023, 1, 1).Start(), end = Date::Of(2024, 1, 1).Start();
  Money sum;
  for (int h = 0; h < 8760; ++h) {
    const Time a = start + Duration::Minutes(60) * h;
    const Money part = *Amortised({8'760'000'000}, start, end, a, a + Duration::Minutes(60));
    ASSERT_EQ(part.micro, 1'000'000);
    sum += part;
  }
  EXPECT_EQ(sum.micro, 8'760'000'000);
  Random random(3);
  for (int i = 0; i < 500; ++i) {  // however it is cut
    const Money billed{static_cast<int64_t>(random.Next() % 1'000'000'007)};
    Time at = start;
    Money parts;
    while (at < end) {
      const Time next = at + Duration{static_cast<int64_t>(random.Next() % 5'000'000'000'000) + 1};
      parts += *Amortised(billed, start, end, at, next);
      at = next;
    }
    ASSERT_EQ(parts, billed);
  }
}

TEST(Focus, NamesWhatIsWrong) {
  const FocusTable t = *FocusTable::Parse(
      "BillingPeriodStart,BillingPeriodEnd,ChargeCategory,ChargeFrequency,BilledCost,EffectiveCost,"
      "CommitmentDiscountId,CommitmentDiscountStatus,BillingCurrency,Foo,Tags\n"
      "2023-02-01T00:00:00Z,2023-01-01T00:00:00Z,Purchase,Usage-Based,1.00,1.00,c,,usd,,nope\n"
      "2023-01-01,2023-02-01T00:00:00Z,Rent,Recurring,1.x,,,Used,USD,,{}\n");
  std::vector<std::string> rules;
  for (const Finding& f : Validate(t, Strictness::kFragment))
    if (f.error) rules.push_back(fmt::format("{}:{}", f.line, f.rule));
  for (const char* rule :
       {"0:column-unknown", "2:period", "2:frequency", "2:effective-cost", "2:currency",
        "2:key-value", "3:instant", "3:value", "3:number", "3:not-null", "3:commitment"})
    EXPECT_THAT(rules, Contains(std::string(rule)));
  EXPECT_THAT(Validate(t, Strictness::kComplete),
              Contains(Field(&Finding::rule, "column-missing")));
}

Contract Rented(const std::string& id, int64_t quantity, int64_t price_micro, int64_t take_or_pay,
                int months) {
  Contract c;
  c.id = id;
  c.provider = "northern";
  c.site = "east";
  c.terms.accelerator = "h100-sxm";
  c.terms.capacity = months > 0 ? Capacity::kReserved : Capacity::kOnDemand;
  c.terms.quantity = c.quantity = quantity;
  c.terms.price = {price_micro};
  c.terms.term_months = months;
  c.terms.take_or_pay_ppm = take_or_pay;
  c.drafted = c.signed_on = c.start = Date::Of(2026, 1, 1);
  c.deliveries = {{c.start, quantity, c.start}};
  return c;
}

Use Took(const std::string& team, int64_t slots, Time from, Time to, const std::string& loan = "") {
  return {"lease", team, "", "h100-sxm", "east", from, to, slots, loan};
}

// Random contracts and leases against a sweep hour by hour: every lease starts and ends on the
// hour.
TEST(Ledger, AgreesWithCountingHourByHour) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    const auto pick = [&](int64_t n) {
      return static_cast<int64_t>(random.Next() % static_cast<uint64_t>(n));
    };
    Book b;
    b.contracts = {Rented("contract-1", 16, 2'000'001, 1'000'000, 24),
                   Rented("contract-2", 8, 1'700'003, 600'000, 24),
                   Rented("contract-3", 64, 4'999'999, 0, 0)};
    const Time start = Date::Of(2026, 2, 1).Start();
    const int hours = 24 * 28;
    std::vector<Use> uses;
    std::vector<std::map<std::string, int64_t>> by_hour(hours);  // team -> slots
    for (int i = 0; i < 30; ++i) {
      const int64_t from = pick(hours), to = std::min<int64_t>(hours, from + 1 + pick(200));
      const std::string team(1, static_cast<char>('a' + pick(3)));
      const int64_t slots = 1 + pick(8);
      uses.push_back(Took(team, slots, start + Duration::Minutes(60) * from,
                          start + Duration::Minutes(60) * to));
      for (int64_t h = from; h < to; ++h) by_hour[static_cast<size_t>(h)][team] += slots;
    }
    std::map<std::string, int64_t> used;  // contract -> accelerator-hours
    std::map<std::string, double> cost;   // team -> cost
    int64_t uncovered = 0;
    for (const auto& teams : by_hour) {
      int64_t wanted = 0;
      for (const auto& [team, slots] : teams) wanted += slots;
      int64_t left = wanted;
      for (const Contract& c : b.contracts) {
        const int64_t n = std::min(left, c.quantity);
        used[c.id] += n;
        left -= n;
        for (const auto& [team, slots] : teams)
          cost[team] += static_cast<double>(n) * static_cast<double>(slots) /
                        static_cast<double>(std::max<int64_t>(1, wanted)) *
                        static_cast<double>(c.terms.price.micro);
      }
      uncovered += left;
    }
    const int month = MonthOf(Date::Of(start));
    const Ledger l = *MakeLedger(b, uses, {}, month, month, Date::Of(2026, 6, 1));
    EXPECT_EQ(l.uncovered_slot_seconds, uncovered * 3600);
    ASSERT_EQ(l.months.size(), 3u);
    std::map<std::string, Money> of_contract, of_team;
    for (const Entry& e : l.entries) {
      of_contract[e.contract] += e.cost;
      of_team[e.team] += e.cost;
    }
    for (const ContractMonth& m : l.months) {
      const Contract& c = *b.FindContract(m.contract);
      const int64_t had = c.quantity * 24 * 28;
      EXPECT_EQ(m.used_seconds, used[c.id] * 3600);
      EXPECT_EQ(m.used.micro, used[c.id] * c.terms.price.micro);
      const int64_t floor =
          c.terms.term_months > 0
              ? Scaled({had * c.terms.price.micro}, c.terms.take_or_pay_ppm, 1'000'000).micro
              : 0;
      EXPECT_EQ(m.owed.micro, std::max(floor, m.used.micro));
      EXPECT_EQ(of_contract[c.id] + m.idle, m.owed);  // to the micro-unit
    }
    for (const auto& [team, micro] : cost)
      EXPECT_NEAR(static_cast<double>(of_team[team].micro), micro, 10) << team;
  }
}

struct World {
  Book book;
  std::vector<Use> uses;
  Ledger ledger;
};
World MakeWorld() {
  World w;
  w.book.contracts = {Rented("contract-1", 16, 2'000'000, 1'000'000, 24),
                      Rented("contract-2", 8, 3'000'000, 0, 0)};
  w.book.contracts[0].terms.prepay_ppm = 250'000;
  const Time a = Date::Of(2026, 1, 1).Start(), z = Date::Of(2026, 4, 1).Start();
  w.uses = {Took("vision", 10, a, z), Took("chat", 4, a, Date::Of(2026, 2, 10).Start(), "loan-1"),
            Took("nlp", 6, Date::Of(2026, 3, 1).Start(), z)};
  const int january = MonthOf(Date::Of(2026, 1, 1));
  w.ledger = *MakeLedger(w.book, w.uses, {{"loan-1", {{"vision", 3}, {"nlp", 1}}}}, january,
                         january + 2, Date::Of(2026, 6, 1));
  return w;
}

TEST(Ledger, ALoanCostsWhatItsLeasesCost) {
  const World w = MakeWorld();
  Money entries, lenders, vision;
  for (const Entry& e : w.ledger.entries)
    if (e.loan == "loan-1") entries += e.cost;
  for (const LoanCost& c : w.ledger.loans) {
    lenders += c.cost;
    if (c.lender == "vision") vision += c.cost;
  }
  EXPECT_EQ(entries.micro, int64_t{4} * 24 * 40 * 2'000'000);
  EXPECT_EQ(lenders, entries);
  EXPECT_EQ(vision.micro, entries.micro / 4 * 3);
}

TEST(Ledger, ItsInvoicePassesTheValidatorAndBalances) {
  const World w = MakeWorld();
  const FocusTable t = ToFocus(w.book, w.ledger, "lab");
  const auto findings = Validate(t, Strictness::kComplete);
  EXPECT_THAT(findings, IsEmpty()) << findings[0].what;
  const FocusTable back = *FocusTable::Parse(t.ToCsv());
  EXPECT_EQ(back.ToCsv(), t.ToCsv());
  Money effective, billed;
  const auto balances = *BalanceOf(back);
  for (const Balance& b : balances) {
    effective += b.effective;
    billed += b.billed;
  }
  EXPECT_EQ(effective, w.ledger.owed());
  Money due;
  for (const ContractMonth& m : w.ledger.months) due += m.due;
  EXPECT_EQ(billed, due);
  EXPECT_THAT(*Reconcile(w.book, w.ledger, back), IsEmpty());
}

TEST(Ledger, FindsWhatAnInvoiceHasWrong) {
  const World w = MakeWorld();
  std::string head =
      "BillingPeriodStart,BillingPeriodEnd,BillingCurrency,BilledCost,ResourceId,ChargeCategory,"
      "ContractedUnitPrice,PricingQuantity\n";
  const std::string months[] = {"2026-01-01T00:00:00Z,2026-02-01T00:00:00Z,USD,",
                                "2026-02-01T00:00:00Z,2026-03-01T00:00:00Z,USD,",
                                "2026-03-01T00:00:00Z,2026-04-01T00:00:00Z,USD,"};
  // January: the price is wrong. February: too many hours, and a line twice. March: missing.
  const FocusTable t =
      *FocusTable::Parse(head + months[0] + "30000.00,contract-1,Usage,2.20,11904\n" + months[1] +
                         "18000.00,contract-1,Usage,2.00,12000\n" + months[1] +
                         "5.00,someone,Usage,,\n" + months[1] + "5.00,someone,Usage,,\n");
  std::vector<std::string> kinds;
  const auto all_reconcile = *Reconcile(w.book, w.ledger, t);
  for (const Difference& d : all_reconcile)
    kinds.push_back(fmt::format("{} {} {}", MonthText(d.month), d.contract, d.kind));
  EXPECT_THAT(kinds, Contains("2026-01 contract-1 price"));
  EXPECT_THAT(kinds, Contains("2026-02 contract-1 quantity"));
  EXPECT_THAT(kinds, Contains("2026-02 someone not known"));
  EXPECT_THAT(kinds, Contains(HasSubstr("twice")));
  EXPECT_THAT(kinds, Contains("2026-03 contract-1 not invoiced"));
}

TEST(Ledger, BudgetsAndCommitmentsBurnDown) {
  World w = MakeWorld();
  const int january = MonthOf(Date::Of(2026, 1, 1));
  w.book.budgets = {{"vision", january, january + 11, {50'000'000'000}},
                    {"nlp", january, january + 11, {500'000'000'000}}};
  const Date today = Date::Of(2026, 3, 31);
  const auto states = BudgetStates(w.book, w.ledger, today);
  // 10 slots for 90 days at $2 an hour, of which part ran on the dearer contract.
  EXPECT_GE(states[0].spent.micro, int64_t{10} * 24 * 90 * 2'000'000);
  EXPECT_GT(states[0].forecast, states[0].budget.amount);
  EXPECT_GT(states[0].month_over, 0);
  EXPECT_EQ(states[1].month_over, 0);
  const auto burn = BurnDowns(w.book, w.ledger, today);
  ASSERT_EQ(burn.size(), 1u);  // the other is by the hour
  EXPECT_EQ(burn[0].committed.micro, int64_t{16} * 24 * 730 * 2'000'000);
  EXPECT_EQ(burn[0].months_past, 2);
  EXPECT_NEAR(burn[0].use_share, (10.0 * 28 + 4 * 9) / (16 * 28), 1e-9);  // in February
}

TEST(Ledger, ReadsLeasesAndSaysWhatIsWrong) {
  const auto any = [](std::string_view name) -> Result<std::string> { return std::string(name); };
  const std::string head = "lease,team,slots,from,to,loan,lenders\n";
  const auto good =
      ReadUses(head + "l,t,4,2026-01-01T00:00:00Z,2026-01-02T00:00:00Z,loan-1,a:3;b:1\n", "f", any);
  ASSERT_TRUE(good) << good.error().ToString();
  EXPECT_EQ(good->shares[0].lenders.size(), 2u);
  EXPECT_THAT(ReadUses(head + "l,t,4,2026-01-02T00:00:00Z,2026-01-01T00:00:00Z,,\n", "f", any)
                  .error()
                  .message(),
              HasSubstr("f line 2: the lease ends"));
  EXPECT_THAT(ReadUses("lease,team\n", "f", any).error().message(), HasSubstr("slots"));
}

}  // namespace
}  // namespace weir::market
