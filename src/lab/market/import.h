// Offers from tables: quotes as Weir writes them, published price tables, and provider catalogs.
//
// The kind is told by the columns (docs/market.md lists them):
//   quotes    provider, accelerator, quantity, price ("$2.49/h"), expires, term_months, ... : what
//             WriteOffers writes
//   prices    accelerator, accelerator_count, on_demand_usd_per_h, spot_usd_per_h and the same two
//             per accelerator: each row is up to two list prices, by the hour
//   catalog   InstanceType, AcceleratorName, AcceleratorCount, Price, SpotPrice, Region: US dollars
//             an hour of the whole instance; the provider is given beside the file
//
// A row that cannot be right does not stop the reading: every one is named with its line, what is
// wrong and what to do. A row without any price, or without an accelerator, offers nothing: it is
// counted and left out.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "lab/market/book.h"

namespace weir::market {

struct ImportOptions {
  Date today;
  std::string provider;  // where the table has no such column
  Date expires;          // of rows that name none; not set: list prices need none, quotes must
  AcceleratorNames accelerators;
};

struct RowProblem {
  int line = 0;
  std::string what, hint;
};

struct Imported {
  std::string kind;  // "quotes", "prices", "catalog"
  std::vector<Offer> offers;
  std::vector<RowProblem> problems;
  int without_price = 0, without_accelerator = 0;
};

// An error only where the table as a whole cannot be read: no CSV, columns missing.
Result<Imported> ReadOffers(std::string_view text, std::string_view source,
                            const ImportOptions& options);

// As quotes: ReadOffers gives the same offers back, but for ids, history and decisions.
std::string WriteOffers(const std::vector<Offer>& offers);

// Parts of an offer as flags and cells write them.
Result<int64_t> ParseShare(std::string_view text, std::string_view field);  // "80%", in ppm
std::string ShareText(int64_t ppm);
Result<std::vector<PriceStep>> ParseSteps(std::string_view text, std::string_view field);
Result<std::vector<RampStep>> ParseRamp(std::string_view text, std::string_view field);
Result<std::vector<SlaTier>> ParseSla(std::string_view text, std::string_view field);
// "b200-sxm@12x0.5=$4.20/h": from month 12 on, half a B200 for each.
Result<std::vector<SwapOption>> ParseSwaps(std::string_view text, std::string_view field,
                                           std::string_view currency,
                                           const AcceleratorNames& accelerators);
Result<int64_t> ParseCount(std::string_view text, std::string_view field, int64_t low,
                           int64_t high);
Result<bool> ParseYes(std::string_view text, std::string_view field);

}  // namespace weir::market
