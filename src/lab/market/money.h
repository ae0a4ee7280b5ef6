// Money as whole millionths of a currency. No floating point touches an amount: prices, costs and
// sums are integers, products are taken in 128 bits and rounded once, and a total that is shared
// out is shared so that the parts add up to it.
//
// An amount does not carry its currency. Each document (offer, contract, invoice) has one, and
// amounts meet across documents only through ExchangeRates (book.h).
//
// Range      +-9.2e12 units of the currency (nine trillion dollars).
// Rounding   half away from zero, as invoices do.
// Threads    values.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace weir::market {

// What a document or a command may not say, and what to write instead.
Error Wrong(std::string what, std::string hint = "");

struct Money {
  int64_t micro = 0;
  constexpr auto operator<=>(const Money&) const = default;
  // Sums stop at the ends of the range: a book full of nonsense gives nonsense, and no more harm.
  constexpr Money operator+(Money o) const {
    int64_t sum = 0;
    if (__builtin_add_overflow(micro, o.micro, &sum)) sum = micro < 0 ? -INT64_MAX : INT64_MAX;
    return {sum};
  }
  constexpr Money operator-(Money o) const { return *this + -o; }
  constexpr Money operator-() const { return {micro == INT64_MIN ? INT64_MAX : -micro}; }
  constexpr Money& operator+=(Money o) { return *this = *this + o; }
  constexpr Money& operator-=(Money o) { return *this = *this - o; }
  double units() const { return static_cast<double>(micro) / 1e6; }  // for ratios and plots only
};

// Shares, ratios and rates are in millionths: this many are all of it.
inline constexpr int64_t kWhole = 1'000'000;

// The largest amount that a document may state, so that sums of a million of them hold.
inline constexpr Money kMaxAmount = {4'000'000'000'000'000'000};

// amount * times / over, rounded half away from zero; saturates at the ends of the range. over > 0.
Money Scaled(Money amount, int64_t times, int64_t over = 1);

// Shares `total` out in proportion to `weights` (none negative), by largest remainder: the parts
// add up to `total` exactly, and each is within one micro-unit of its exact share. Equal remainders
// go to the lower index. All weights zero: everything goes to the last part.
std::vector<Money> Shared(Money total, const std::vector<int64_t>& weights);

// ISO 4217: three capital letters.
inline constexpr std::string_view kUsd = "USD";
bool IsCurrency(std::string_view text);

// A decimal number, exactly: "3.4291", "-0.5", "1e-7", "1.2E3". kInvalidArgument if it is none, or
// has more than six digits after the point that are not zero and `round` is false.
enum class Fine { kRefuse, kRound };
Result<Money> ParseAmount(std::string_view text, Fine fine = Fine::kRefuse);
// The shortest decimal that reads back to it: "3.4291", "8760". At least `digits` after the point.
std::string AmountText(Money m, int digits = 0);
// For people: "$1,234.56", "EUR 1,234.56"; to the cent, unless it is less than one.
std::string Human(Money m, std::string_view currency = kUsd);
// A price for people, with the digits that it has: "$2.125".
std::string HumanPrice(Money m, std::string_view currency = kUsd);

// "$2.49/h", "2.49 EUR/h", "USD 19.9/h": a price with its currency and unit. A number without a
// unit, or with another unit than /h (an hour of one accelerator), is refused.
struct Price {
  Money amount;
  std::string currency;
};
Result<Price> ParsePrice(std::string_view text, std::string_view field);

}  // namespace weir::market
