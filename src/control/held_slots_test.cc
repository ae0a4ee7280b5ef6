#include "control/held_slots.h"

#include <gtest/gtest.h>

#include "control/commands.h"

namespace weir::control {
namespace {

using market::Date;

Time At(int year, int month, int day) { return Date::Of(year, month, day).Start(); }

// Applies one change of the market through the journal's own records.
void Change(State& state, Time now, const MarketChange& change) {
  const Events events = ChangeMarket({state, {"ann"}, now, ""}, change);
  ASSERT_TRUE(events) << events.error().ToString();
  for (const Event& e : *events) {
    io::Record record;
    static_cast<io::Entry&>(record) = ToEntry(e);
    const auto read = FromRecord(record);
    ASSERT_TRUE(read) << read.error().ToString();
    ASSERT_TRUE(Apply(state, *read));
  }
}

State TwoNodes() {
  State s;
  for (int i = 0; i < 16; ++i) {
    wire::Slot slot;
    slot.site = "east";
    slot.node = i < 8 ? "n1" : "n2";
    slot.index = i % 8;
    slot.type = "h100";
    slot.id = slot.site + "/" + slot.node + "/" + std::to_string(slot.index);
    s.slots[slot.id] = slot;
  }
  return s;
}

TEST(HeldSlots, ComeWithDeliveriesAndCarryTheEndOfTheirContract) {
  State s = TwoNodes();
  EXPECT_TRUE(HeldSlots(s, At(2027, 1, 1)).empty());  // the lab's own
  const Time signed_at = At(2027, 1, 1);
  Change(s, signed_at, [](market::Book& b, Date today) -> Result<MarketNote> {
    for (const int months : {12, 24}) {
      market::Offer o;
      o.provider = "northern";
      o.name = std::to_string(months);
      o.received = today;
      o.expires = today + 30;
      o.terms.accelerator = "h100-sxm";
      o.terms.quantity = 8;
      o.terms.term_months = months;
      TRY(market::PutOffer(b, o, today));
    }
    TRY(market::Accept(b, "offer-1", 8, "east", today));
    TRY(market::Accept(b, "offer-2", 8, "east", today));
    for (market::Contract& c : b.contracts) TRY(market::Sign(c, today, today));
    return MarketNote{"two contracts"};
  });
  ASSERT_EQ(s.book.contracts.size(), 2u);
  for (const auto& [id, h] : HeldSlots(s, signed_at)) EXPECT_FALSE(h.held) << id;
  // The second contract's node comes; in a lab that restarts, from its text, just the same.
  Change(s, signed_at, [](market::Book& b, Date today) -> Result<MarketNote> {
    TRY(market::Deliver(b.contracts[1], 8, today, today));
    return MarketNote{"delivered"};
  });
  s = *StateFromText(Text(s));
  auto held = HeldSlots(s, signed_at);
  EXPECT_TRUE(held.at("east/n1/7").held);
  EXPECT_FALSE(held.at("east/n2/0").held);
  EXPECT_EQ(held.at("east/n1/0").until, At(2029, 1, 1));
  Change(s, signed_at, [](market::Book& b, Date today) -> Result<MarketNote> {
    TRY(market::Deliver(b.contracts[0], 8, today, today));
    return MarketNote{"delivered"};
  });
  held = HeldSlots(s, signed_at);
  EXPECT_TRUE(held.at("east/n2/7").held);
  EXPECT_EQ(held.at("east/n2/0").until, At(2028, 1, 1));  // the shorter contract's
  EXPECT_EQ(held.at("east/n1/0").until, At(2029, 1, 1));
  EXPECT_FALSE(HeldSlots(s, At(2028, 1, 1)).at("east/n2/0").held);
  EXPECT_TRUE(HeldSlots(s, At(2028, 1, 1)).at("east/n1/0").held);
}

}  // namespace
}  // namespace weir::control
