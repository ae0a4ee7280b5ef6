#include "lab/market/contract.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "base/random.h"
#include "lab/market/book.h"
#include "lab/market/evaluate.h"
#include "lab/market/import.h"
#include "lab/market/messages.h"

namespace weir::market {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const Date kToday = Date::Of(2026, 11, 22);

Result<std::string> Known(std::string_view name) {
  for (const char* k : {"h100-sxm", "h200-sxm", "b200-sxm", "a100-sxm"})
    if (name == k) return std::string(k);
  if (name == "H100-80GB") return std::string("h100-sxm");
  return Error(Code::kNotFound, fmt::format("no accelerator \"{}\" is known", name))
      .Hint("did you mean h100-sxm?");
}

Terms SomeTerms() {
  Terms t;
  t.accelerator = "h100-sxm";
  t.quantity = 512;
  t.lot = 8;
  t.price = {2'100'000};
  t.steps = {{12, {1'950'000}}, {24, {1'800'000}}};
  t.term_months = 36;
  t.lead_days = 30;
  t.ramp = {{0, 128}, {2, 512}};
  t.take_or_pay_ppm = 900'000;
  t.prepay_ppm = 200'000;
  t.notice_days = 90;
  t.sla = {{{999'000, 100'000}, {990'000, 300'000}}, 30, 250'000};
  t.swaps = {{"b200-sxm", 12, 500'000, {4'200'000}}};
  return t;
}

Offer SomeOffer() {
  Offer o;
  o.provider = "northern";
  o.name = "q-17";
  o.terms = SomeTerms();
  o.received = kToday - 3;
  o.expires = kToday + 20;
  return o;
}

struct Running {
  Book book;
  Contract& c() { return book.contracts[0]; }
};
// Signed on 2026-12-01, all delivered as promised by the end of the ramp.
Running Signed() {
  Running r;
  EXPECT_TRUE(PutOffer(r.book, SomeOffer(), kToday));
  EXPECT_TRUE(Accept(r.book, "offer-1", 256, "east", kToday));
  EXPECT_TRUE(Sign(r.c(), Date::Of(2026, 12, 1), Date::Of(2026, 12, 1)));
  return r;
}

TEST(Money, ReadsAndWritesDecimalsExactly) {
  for (const char* text : {"0", "1", "-1", "2.1", "0.000001", "-12345.678901", "4000000000000"})
    EXPECT_EQ(AmountText(*ParseAmount(text)), text);
  EXPECT_EQ(ParseAmount("1.2E3")->micro, 1'200'000'000);
  EXPECT_EQ(ParseAmount("25e-3")->micro, 25'000);
  EXPECT_FALSE(ParseAmount("0.0000001"));
  EXPECT_EQ(ParseAmount("0.0000005", Fine::kRound)->micro, 1);
  EXPECT_EQ(ParseAmount("0.00000049999", Fine::kRound)->micro, 0);
  for (const char* text :
       {"", "-", ".", "1.2.3", "1,2", "abc", "1e", "0x10", "5e12", "1e99", "nan"})
    EXPECT_FALSE(ParseAmount(text)) << text;
  EXPECT_EQ(Human(Money{1'234'567'890'000}), "$1,234,567.89");
  EXPECT_EQ(Human(Money{-2'500'000}, "EUR"), "EUR -2.50");
  EXPECT_EQ(HumanPrice(Money{2'125'000}), "$2.125");
}

TEST(Money, RandomAmountsRoundTrip) {
  Random random(1);
  for (int i = 0; i < 20'000; ++i) {
    const Money m{static_cast<int64_t>(random.Next() % 8'000'000'000'000'000'000u) -
                  kMaxAmount.micro};
    ASSERT_EQ(*ParseAmount(AmountText(m)), m) << m.micro;
  }
}

TEST(Money, SharesAddUpToTheWholeAndAreNearTheirPart) {
  Random random(2);
  for (int i = 0; i < 3'000; ++i) {
    std::vector<int64_t> weights(1 + random.Next() % 9);
    int64_t sum = 0;
    for (int64_t& w : weights) sum += w = static_cast<int64_t>(random.Next() % 1000);
    const Money total{static_cast<int64_t>(random.Next() % 2'000'001) - 1'000'000};
    const std::vector<Money> parts = Shared(total, weights);
    Money back;
    for (size_t k = 0; k < parts.size(); ++k) {
      back += parts[k];
      if (sum > 0) {
        const double exact = static_cast<double>(total.micro) * static_cast<double>(weights[k]) /
                             static_cast<double>(sum);
        ASSERT_LT(std::abs(static_cast<double>(parts[k].micro) - exact), 1.0);
      }
    }
    ASSERT_EQ(back, total);
  }
}

TEST(Date, AgreesWithCountingDaysOneByOne) {
  int y = 2000, m = 1, d = 1;
  for (Date day = Date::Of(2000, 1, 1); day.year() < 2101; day = day + 1) {
    ASSERT_EQ(Text(day), fmt::format("{:04}-{:02}-{:02}", y, m, d));
    ASSERT_EQ(MonthOf(day), (y - 1970) * 12 + m - 1);
    const int last = m == 2 ? ((y % 4 == 0 && y % 100 != 0) || y % 400 == 0 ? 29 : 28)
                            : (m == 4 || m == 6 || m == 9 || m == 11 ? 30 : 31);
    if (++d > last) d = 1, ++m;
    if (m > 12) m = 1, ++y;
  }
  EXPECT_EQ(Text(AddMonths(Date::Of(2027, 1, 31), 1)), "2027-02-28");
  EXPECT_EQ(Text(AddMonths(Date::Of(2028, 3, 31), -1)), "2028-02-29");
  EXPECT_FALSE(ParseDate("2027-02-30", "x"));
  EXPECT_FALSE(ParseDate("01/02/2027", "x"));
  EXPECT_EQ(InstantText(*ParseInstant("2023-01-01T10:20:30Z", "x")), "2023-01-01T10:20:30Z");
  EXPECT_THAT(ParseInstant("2023-02-01T30:00:00Z", "end").error().message(), HasSubstr("hour 30"));
}

// Day by day, in plain arithmetic: quantity x 24 h x the price of that month of the term.
TEST(Contract, OwesWhatADayByDaySumOwes) {
  Running r = Signed();
  const Date start = Date::Of(2026, 12, 31), today = Date::Of(2026, 12, 1);
  ASSERT_EQ(r.c().start, start);
  std::map<int, int64_t> micro;
  int64_t all = 0;
  for (Date day = start; day < Date::Of(2029, 12, 31); day = day + 1) {
    const bool second = day >= Date::Of(2027, 2, 28);  // month 2 of the term, from the 31st
    const int64_t price = day < Date::Of(2027, 12, 31)   ? 2'100'000
                          : day < Date::Of(2028, 12, 31) ? 1'950'000
                                                         : 1'800'000;
    const int64_t cost = (second ? 256 : 64) * 24 * price;
    micro[MonthOf(day)] += cost;
    all += cost;
  }
  Money floor, prepaid, covered;
  for (const Obligation& o : Obligations(r.c(), today)) {
    EXPECT_EQ(o.gross.micro, micro[o.month]) << MonthText(o.month);
    EXPECT_EQ(o.floor.micro, micro[o.month] / 10 * 9);
    floor += o.floor;
    prepaid += o.prepaid;
    covered += o.from_prepaid;
  }
  EXPECT_EQ(floor.micro, all / 10 * 9);
  EXPECT_EQ(Commitment(r.c().terms, 256, start), floor);
  EXPECT_EQ(prepaid.micro, all / 10 * 9 / 5);
  EXPECT_EQ(covered, prepaid);
}

TEST(Contract, GoesThroughItsWholeLife) {
  Running r;
  ASSERT_TRUE(PutOffer(r.book, SomeOffer(), kToday));
  ASSERT_TRUE(Accept(r.book, "offer-1", 256, "east", kToday));
  Contract& c = r.c();
  EXPECT_EQ(PhaseOn(c, kToday), ContractPhase::kDraft);
  EXPECT_FALSE(Deliver(c, 8, kToday, kToday));
  ASSERT_TRUE(Sign(c, Date::Of(2026, 12, 1), Date::Of(2026, 12, 2)));
  EXPECT_EQ(PhaseOn(c, Date::Of(2026, 12, 2)), ContractPhase::kSigned);
  ASSERT_EQ(c.deliveries.size(), 2u);
  EXPECT_EQ(c.deliveries[0].quantity, 64);
  EXPECT_EQ(c.deliveries[1].promised, Date::Of(2027, 2, 28));
  // Half of the first lot comes ten days late, the rest a month late.
  ASSERT_TRUE(Deliver(c, 32, Date::Of(2027, 1, 10), Date::Of(2027, 1, 10)));
  EXPECT_EQ(PhaseOn(c, Date::Of(2027, 1, 10)), ContractPhase::kRamping);
  EXPECT_EQ(QuantityOn(c, Date::Of(2027, 1, 9), Date::Of(2027, 1, 10)), 0);
  EXPECT_EQ(QuantityOn(c, Date::Of(2027, 1, 10), Date::Of(2027, 1, 10)), 32);
  EXPECT_EQ(PromisedOn(c, Date::Of(2027, 1, 10)), 64);
  ASSERT_TRUE(Deliver(c, 224, Date::Of(2027, 3, 1), Date::Of(2027, 3, 1)));
  EXPECT_EQ(PhaseOn(c, Date::Of(2027, 3, 1)), ContractPhase::kActive);
  const DeliveryRecord record = RecordOf(c, Date::Of(2027, 3, 1));
  EXPECT_EQ(record.quantity, 256);
  EXPECT_EQ(record.late_accelerator_days, 32 * 10 + 32 * 60 + 192 * 1);
  EXPECT_FALSE(GiveNotice(c, Date::Of(2027, 3, 1), Date::Of(2027, 3, 1)));  // it does not renew
  EXPECT_EQ(PhaseOn(c, Date::Of(2029, 12, 30)), ContractPhase::kActive);
  EXPECT_EQ(PhaseOn(c, Date::Of(2029, 12, 31)), ContractPhase::kEnded);
  EXPECT_EQ(QuantityOn(c, Date::Of(2029, 12, 31), Date::Of(2029, 12, 31)), 0);
}

TEST(Contract, RenewsByItselfUnlessNoticeIsGivenInTime) {
  Running r = Signed();
  Contract& c = r.c();
  c.terms.renews = true;
  c.terms.renewal_months = 12;
  c.terms.renewal_price = {1'500'000};
  const Date end = Date::Of(2029, 12, 31);
  EXPECT_EQ(NoticeBy(c, Date::Of(2028, 1, 1)), end - 90);
  EXPECT_EQ(EndOn(c, end - 90), end);
  EXPECT_EQ(EndOn(c, end - 89), Date::Of(2030, 12, 31));
  EXPECT_EQ(PriceOn(c, end, end).micro, 1'500'000);
  Contract in_time = c, late = c;
  ASSERT_TRUE(GiveNotice(in_time, end - 90, end - 90));
  EXPECT_EQ(PhaseOn(in_time, end - 90), ContractPhase::kInNotice);
  EXPECT_EQ(EndOn(in_time, end + 100), end);
  ASSERT_TRUE(GiveNotice(late, end - 80, end - 80));
  EXPECT_EQ(EndOn(late, end + 100), Date::Of(2030, 12, 31));
}

TEST(Contract, SwapGivesBackWhatWasPaidAhead) {
  Running r = Signed();
  const Date on = Date::Of(2028, 1, 1);
  ASSERT_TRUE(Deliver(r.c(), 256, Date::Of(2027, 2, 28), Date::Of(2027, 12, 1)));
  const Contract before = r.c();
  EXPECT_FALSE(Swap(r.book, "contract-2", "h200-sxm", on, Date::Of(2027, 12, 1)));
  EXPECT_FALSE(
      Swap(r.book, "contract-2", "b200-sxm", Date::Of(2027, 12, 15), Date::Of(2027, 12, 1)));
  ASSERT_TRUE(Swap(r.book, "contract-2", "b200-sxm", on, Date::Of(2027, 12, 1)));
  EXPECT_EQ(r.c().exit_cost, -PrepaidLeft(before, on, Date::Of(2027, 12, 1)));
  EXPECT_EQ(r.book.contracts[1].quantity, 128);
  EXPECT_EQ(r.book.contracts[1].terms.term_months, 24);
  Money paid;
  for (const Obligation& o : Obligations(r.c(), on)) paid += o.cash_at_least();
  Money floor;
  for (const Obligation& o : Obligations(r.c(), on)) floor += o.floor;
  EXPECT_EQ(paid, floor);  // all that is paid is for the time that it ran
}

TEST(Contract, CreditsFollowTheTiersAndTheCap) {
  Running r = Signed();
  Contract& c = r.c();
  ASSERT_TRUE(Deliver(c, 256, Date::Of(2026, 12, 31), Date::Of(2027, 6, 1)));
  const int may = MonthOf(Date::Of(2027, 5, 1));
  const int64_t gross = 256LL * 24 * 31 * 2'100'000;
  const Date today = Date::Of(2027, 6, 1);
  EXPECT_EQ(CreditOf(c, may, 999'500, today).micro, 0);
  EXPECT_EQ(CreditOf(c, may, 998'000, today).micro, gross / 10);
  EXPECT_EQ(CreditOf(c, may, 900'000, today).micro, gross / 4);  // 30%, capped at 25%
  ASSERT_TRUE(NoteAvailability(c, may, 998'000, today));
  EXPECT_FALSE(ClaimCredit(c, may, Date::Of(2027, 7, 1), Date::Of(2027, 7, 1)));  // 30 days passed
  ASSERT_TRUE(ClaimCredit(c, may, Date::Of(2027, 6, 20), Date::Of(2027, 7, 1)));
  EXPECT_EQ(c.sla_months[0].credited.micro, gross / 10);
}

TEST(Book, KeepsEveryQuote) {
  Book b;
  ASSERT_TRUE(PutOffer(b, SomeOffer(), kToday));
  Offer better = SomeOffer();
  better.received = kToday;
  better.terms.price = {2'000'000};
  const Put put = *PutOffer(b, better, kToday);
  EXPECT_FALSE(put.is_new);
  EXPECT_THAT(put.changed, ElementsAre("price $2.10 -> $2.00"));
  ASSERT_EQ(b.offers.size(), 1u);
  EXPECT_EQ(b.offers[0].history.size(), 2u);
  EXPECT_EQ(b.offers[0].history[0].terms.price.micro, 2'100'000);
  EXPECT_THAT(PutOffer(b, better, kToday)->changed, IsEmpty());
  EXPECT_EQ(b.offers[0].history.size(), 2u);
}

TEST(Book, RefusesWhatCannotBe) {
  Book b;
  ASSERT_TRUE(PutOffer(b, SomeOffer(), kToday));
  EXPECT_THAT(Accept(b, "ofer-1", 256, "", kToday).error().hint(), HasSubstr("offer-1"));
  EXPECT_THAT(Accept(b, "offer-1", 100, "", kToday).error().message(), HasSubstr("lots of 8"));
  EXPECT_THAT(Accept(b, "offer-1", 256, "", kToday + 30).error().message(), HasSubstr("expired"));
  ASSERT_TRUE(Accept(b, "offer-1", 256, "", kToday));
  EXPECT_THAT(Accept(b, "offer-1", 256, "", kToday).error().message(), HasSubstr("accepted"));
  Offer o = SomeOffer();
  o.expires = kNoDate;
  EXPECT_THAT(PutOffer(b, o, kToday).error().message(), HasSubstr("no expiry"));
  o = SomeOffer();
  o.expires = o.received - 1;
  EXPECT_THAT(PutOffer(b, o, kToday).error().message(), HasSubstr("before it was received"));
  o = SomeOffer();
  o.terms.price = {-1};
  EXPECT_THAT(PutOffer(b, o, kToday).error().message(), HasSubstr("below zero"));
}

TEST(Book, ReadsBackWhatItWrote) {
  Running r = Signed();
  r.book.rates = {{"EUR", {1'080'000}, kToday}};
  r.book.budgets = {{"vision", 680, 691, {5'000'000'000'000}}};
  ASSERT_TRUE(Deliver(r.c(), 64, Date::Of(2026, 12, 31), Date::Of(2027, 1, 1)));
  const std::string text = WriteBook(r.book);
  const auto back = ReadBook(text, "book.json");
  ASSERT_TRUE(back) << back.error().ToString();
  EXPECT_TRUE(*back == r.book);
  EXPECT_THAT(ReadBook("{\"ofers\": []}", "b").error().message(), HasSubstr("ofers"));
}

TEST(Calendar, NamesWhatIsDueAndFoldsItsLines) {
  Running r = Signed();
  r.c().terms.renews = true;
  const auto due =
      DueBetween(r.book, Date::Of(2026, 12, 1), Date::Of(2030, 1, 1), Date::Of(2026, 12, 1));
  std::vector<std::string> kinds;
  for (const Due& d : due) kinds.push_back(Text(d.on) + " " + d.kind);
  EXPECT_THAT(kinds,
              ElementsAre("2026-12-31 delivery", "2027-02-28 delivery", "2027-12-31 price step",
                          "2027-12-31 swap option", "2028-12-31 price step", "2029-10-02 notice by",
                          "2029-12-31 ends"));
  const std::string ics = ICalendar(due, Date::Of(2026, 12, 1).Start());
  std::istringstream lines(ics);
  int events = 0;
  for (std::string line; std::getline(lines, line);) {
    ASSERT_TRUE(line.ends_with('\r'));
    EXPECT_LE(line.size(), 76u);
    events += line == "BEGIN:VEVENT\r";
  }
  EXPECT_EQ(events, 7);
  EXPECT_THAT(ics, HasSubstr("DTSTART;VALUE=DATE:20291002\r\n"));
}

TEST(Import, SaysWhatIsWrongWithEachRow) {
  const std::string csv =
      "provider,accelerator,quantity,price,term_months,received,expires,start\n"
      "a,h100-sxm,64,$2.10/h,12,2026-11-01,2026-12-31,2027-01-01\n"
      "b,h100-sxm,64,2.10,12,2026-11-01,2026-12-31,\n"
      "c,h100-sxm,64,$-2.10/h,12,2026-11-01,2026-12-31,\n"
      "d,h1000,64,$2.10/h,12,2026-11-01,2026-12-31,\n"
      "e,h100-sxm,64,$2.10/h,12,2026-11-01,2026-10-31,\n"
      "f,h100-sxm,64,$2.10/h,12,2026-11-01,,\n"
      "g,h100-sxm,64,$16.80/node/h,12,2026-11-01,2026-12-31,\n"
      "h,h100-sxm,64,,12,2026-11-01,2026-12-31,\n";
  const auto read = ReadOffers(csv, "q.csv", {kToday, "", kNoDate, Known});
  ASSERT_TRUE(read) << read.error().ToString();
  EXPECT_EQ(read->offers.size(), 1u);
  EXPECT_EQ(read->without_price, 1);
  std::vector<std::string> said;
  for (const RowProblem& p : read->problems) said.push_back(fmt::format("{}: {}", p.line, p.what));
  EXPECT_THAT(said, ElementsAre(HasSubstr("3: price: \"2.10\" has no unit"),
                                HasSubstr("4: price: \"$-2.10/h\" is below zero"),
                                HasSubstr("5: no accelerator \"h1000\""),
                                HasSubstr("6: it expires on 2026-10-31, before"),
                                HasSubstr("7: the offer has no expiry"),
                                HasSubstr("8: the price is of an hour of a node, that of line 2")));
  const auto typo =
      ReadOffers("accelerator,price,quantety\n", "q.csv", {kToday, "p", kNoDate, Known});
  EXPECT_THAT(typo.error().hint(), HasSubstr("quantity"));
  const auto mixed = ReadOffers(
      "provider,accelerator,accelerator_count,on_demand_usd_per_h,on_demand_usd_per_accel_h\n"
      "a,H100-80GB,8,98.32,12.29\nb,H100-80GB,8,98.32,98.32\n",
      "p.csv", {kToday, "", kNoDate, Known});
  ASSERT_EQ(mixed->problems.size(), 1u);
  EXPECT_THAT(mixed->problems[0].hint, HasSubstr("units mixed"));
  EXPECT_EQ(mixed->offers[0].terms.price.micro, 12'290'000);
}

TEST(Import, WritesWhatItReads) {
  Random random(7);
  std::vector<Offer> offers;
  for (int i = 0; i < 300; ++i) {
    Offer o = SomeOffer();
    const auto pick = [&](int64_t n) {
      return static_cast<int64_t>(random.Next() % static_cast<uint64_t>(n));
    };
    o.name = fmt::format("q {}{}", i, pick(3) == 0 ? ", \"quoted\"" : "");
    o.terms.price = {pick(100'000'000)};
    o.terms.term_months = static_cast<int>(30 + pick(40));
    o.terms.take_or_pay_ppm = 500'000 + pick(500'001);
    o.terms.prepay_ppm = pick(500'000);
    o.terms.currency = pick(2) ? "USD" : "EUR";
    if (pick(2)) o.terms.steps.clear();
    if (pick(2)) o.terms.ramp.clear();
    if (pick(2)) o.terms.swaps.clear();
    if (pick(2)) o.terms.sla = {};
    o.terms.renews = pick(2) == 1;
    o.terms.renewal_price = {pick(2) * 1'234'567};
    o.note = pick(2) ? "two\nlines" : "";
    offers.push_back(o);
  }
  std::string csv = WriteOffers(offers);
  const auto read = ReadOffers(csv, "x", {kToday, "", kNoDate, Known});
  ASSERT_TRUE(read);
  EXPECT_THAT(read->problems, IsEmpty());
  ASSERT_EQ(read->offers.size(), offers.size());
  for (size_t i = 0; i < offers.size(); ++i) {
    EXPECT_TRUE(read->offers[i].terms == offers[i].terms) << i;
    EXPECT_EQ(read->offers[i].name, offers[i].name);
    EXPECT_EQ(read->offers[i].note, offers[i].note);
  }
}

TEST(Import, TakesThePublishedPrices) {
  const char* shared = std::getenv("WEIR_SHARED");
  std::ifstream file(shared ? std::string(shared) + "/prices/gpu_offers.csv" : "");
  if (!file) GTEST_SKIP() << "WEIR_SHARED has no prices";
  std::stringstream text;
  text << file.rdbuf();
  const auto any = [](std::string_view name) -> Result<std::string> { return std::string(name); };
  const auto read = ReadOffers(text.str(), "gpu_offers.csv", {kToday, "", kNoDate, any});
  ASSERT_TRUE(read) << read.error().ToString();
  EXPECT_THAT(read->problems, IsEmpty());
  EXPECT_GT(read->offers.size(), 231u);  // many rows have a spot price too
}

TEST(Evaluate, PartsAddUpAndPlainTermsCostTheirPrice) {
  Offer o = SomeOffer();
  o.id = "offer-1";
  o.terms.steps.clear();
  o.terms.ramp.clear();
  o.terms.prepay_ppm = 0;
  o.terms.take_or_pay_ppm = 1'000'000;
  Assumptions a{.signed_on = kToday, .quantity = 512, .capital_rate = 0.08};
  const Evaluation plain = *Evaluate(o, a);
  EXPECT_NEAR(plain.rate, 2.10, 1e-9);
  EXPECT_NEAR(plain.unused + plain.timing + plain.delivery + plain.energy + plain.failures, 0,
              1e-9);
  a.use = 0.8;
  a.goodput = 0.9;
  EXPECT_NEAR(Evaluate(o, a)->rate, 2.10 / 0.8 / 0.9, 1e-9);
  o.terms.prepay_ppm = 500'000;  // paid ahead: dearer
  a.use = a.goodput = 1;
  EXPECT_GT(Evaluate(o, a)->timing, 0.05);
  a.days_late = 60;
  a.bridge = Money{4'000'000};
  const Evaluation e = *Evaluate(o, a);
  EXPECT_GT(e.delivery, 0);
  EXPECT_NEAR(e.price + e.unused + e.timing + e.delivery + e.energy + e.failures, e.rate, 1e-9);
}

}  // namespace
}  // namespace weir::market
