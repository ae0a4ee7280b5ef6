// What an hour of an offer's accelerator that does useful work really costs, term by term.
//
// The rate is levelised: all payments over the term, each worth less the later it is made, over all
// useful hours, counted in the same way,
//
//     rate = sum_m cash_m (1+r)^(-m/12)  /  sum_m hours_m * use * goodput * (1+r)^(-m/12)
//
// so a prepayment costs what the capital costs, and a price that falls later counts for less. It is
// built up in steps, so that the parts add up to it: the average price; what is paid but not used;
// prepayment and timing; bridging a late delivery; energy, where the lab pays it; failures.
//
// These are estimates of a rate and are made in floating point; what is owed (contract.h) is not.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "lab/market/book.h"

namespace weir::market {

struct Assumptions {
  Date signed_on;
  int64_t quantity = 0;         // 0: all that is offered (one lot, if that is not stated)
  int months = 12;              // looked at, of capacity without a term
  double use = 1;               // share of the hours that the lab has work for
  double goodput = 1;           // share of a used hour that is work kept, after failures
  double capital_rate = 0.10;   // a year
  double days_late = 0;         // expected
  std::optional<Money> bridge;  // an hour elsewhere while it is late; not set: no work is done
  double kilowatts = 0;         // of one accelerator at the meter of the site
  Money energy_price;           // of a kWh, where energy is not in the price; 0: it is
};

struct Evaluation {
  std::string offer;
  int64_t quantity = 0;
  Date start, end;
  Money commitment;  // owed whatever is used
  Money at_signing;  // of it
  double useful_hours = 0;
  // US dollars (or the offer's currency) for a useful accelerator-hour; they add up to `rate`.
  double price = 0, unused = 0, timing = 0, delivery = 0, energy = 0, failures = 0;
  double rate = 0;
  // Before failures: what a prediction that counts failures itself is to be asked with.
  double before_failures() const { return rate - failures; }
};

Result<Evaluation> Evaluate(const Offer& o, const Assumptions& a);

// Days that a delivery by this provider is expected to be late: its record, with `prior_days` for
// a hundred accelerators as the opinion before there is one.
double ExpectedDaysLate(const Book& b, std::string_view provider, double prior_days, Date today);
// The days late that are expected of the offer when nobody says otherwise: fourteen as the opinion
// for a reservation, none by the hour.
double UsualDaysLate(const Book& b, const Offer& o, Date today);
// The cheapest open offer by the hour of the same accelerator, if there is one; in its currency.
const Offer* CheapestByTheHour(const Book& b, std::string_view accelerator, Date today);

}  // namespace weir::market
