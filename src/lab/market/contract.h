// A contract and its whole life. What happened is kept (signed, delivered, notice given, renewed);
// the phase follows from that and the day, so that no timer has to fire for a contract to end.
//
//             Sign            first delivery        all delivered
//    draft ---------> signed ----------------> ramping ---------> active
//                        |                        |                 |
//                        +------- GiveNotice -----+--------+--------+
//                                                          v
//      any but draft, on its last day ------> ended <-- in notice
//
// A contract that renews by itself has as its end the end of the newest term that can no longer be
// stopped: on the last day of notice a further term is added (EndOn).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "lab/market/date.h"
#include "lab/market/money.h"
#include "lab/market/offer.h"

namespace weir::market {

enum class ContractPhase { kDraft, kSigned, kRamping, kActive, kInNotice, kEnded };
std::string_view NameOf(ContractPhase p);

// A lot on its way: `quantity` accelerators promised for a day, and when they came.
struct Delivery {
  Date promised;
  int64_t quantity = 0;
  Date delivered;  // not set: not yet
  bool operator==(const Delivery&) const = default;
};

// What a month's availability was, and what became of the credit.
struct SlaMonth {
  int month = 0;  // since 1970-01
  int64_t availability_ppm = 0;
  Date claimed;  // not set: not yet
  Money credited;
  bool operator==(const SlaMonth&) const = default;
};

struct ContractEvent {  // one line of its history
  Date on;
  std::string what;  // "signed", "notice given: ...", for people
  bool operator==(const ContractEvent&) const = default;
};

struct Contract {
  std::string id;  // "contract-2"
  std::string provider;
  std::string offer;  // that it came of
  std::string site;   // of the lab where it is delivered; "" = the provider's name
  Terms terms;        // as signed
  int64_t quantity = 0;
  Date drafted;
  Date signed_on;  // not set: a draft
  Date start;      // promised first day
  std::vector<Delivery> deliveries;
  Date notice_on;    // notice was given
  Date leaves_on;    // left early, by agreement or at the exit price; not set: at the end
  Money exit_cost;   // owed on that day
  int renewals = 0;  // terms that were added by hand
  std::vector<SlaMonth> sla_months;
  std::vector<ContractEvent> events;
  bool operator==(const Contract&) const = default;
};

// The first day on which nothing of it is had any more.
Date EndOn(const Contract& c, Date today);
// The last day on which notice can be given, of the term that runs on `today`; not set: none.
Date NoticeBy(const Contract& c, Date today);
ContractPhase PhaseOn(const Contract& c, Date today);

// When a delivery came; or is expected, if it has not: as promised, and not before tomorrow.
Date ExpectedOn(const Delivery& d, Date today);
// Accelerators had on the day, as known on `today`: delivered, for later days also expected, and
// the contract not ended.
int64_t QuantityOn(const Contract& c, Date day, Date today);
// Promised by the day, whatever came.
int64_t PromisedOn(const Contract& c, Date day);
// The price of an accelerator-hour on the day: steps and renewals counted.
Money PriceOn(const Contract& c, Date day, Date today);

// What is owed for one calendar month.
struct Obligation {
  int month = 0;                  // since 1970-01
  int64_t accelerator_hours = 0;  // delivered, or promised where that is yet to come
  Money gross;                    // those at the price of each day
  Money floor;                    // take-or-pay: owed though nothing is used
  Money prepaid;                  // paid in this month ahead of time
  Money from_prepaid;             // of the floor, covered by what was paid ahead
  Money exit;                     // owed for leaving early
  // Cash that leaves in this month if all hours are used; and if none is.
  Money cash_if_used() const { return gross - from_prepaid + prepaid + exit; }
  Money cash_at_least() const { return floor - from_prepaid + prepaid + exit; }
};
// Month by month from the day of signing to the end. Past days as they were, later ones as
// expected on `today`. from_prepaid adds up to what was prepaid exactly, unless less than that is
// ever owed (a late start, an early end): then to the sum of the floors, and the rest is lost.
std::vector<Obligation> Obligations(const Contract& c, Date today);

// Of the prepayment, what days from `day` on would still have been covered by.
Money PrepaidLeft(const Contract& c, Date day, Date today);
// What is owed from `day` to the end, used or not.
Money FloorFrom(const Contract& c, Date day, Date today);

// What the month's availability earns, by the tiers; and the last day on which it can be claimed
// (not set: no limit).
Money CreditOf(const Contract& c, int month, int64_t availability_ppm, Date today);
Date ClaimBy(const Contract& c, int month);

// Days that the deliveries so far came late, weighted by quantity, those overdue counted to today.
struct DeliveryRecord {
  int64_t quantity = 0;  // due by today
  int64_t late_quantity = 0;
  int64_t late_accelerator_days = 0;
  double mean_days_late() const {
    return quantity > 0 ? static_cast<double>(late_accelerator_days) / static_cast<double>(quantity)
                        : 0;
  }
};
DeliveryRecord RecordOf(const Contract& c, Date today);

Status Validate(const Contract& c);

}  // namespace weir::market
