// Calendar days and months. Contracts speak of days; nothing here knows a time zone but UTC.
//
// Source of the conversions: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", 2014.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/units.h"

namespace weir::market {

// Days since 1970-01-01. kNoDate: not set.
struct Date {
  int32_t days = INT32_MIN;
  constexpr bool is_set() const { return days != INT32_MIN; }
  constexpr auto operator<=>(const Date&) const = default;
  constexpr Date operator+(int n) const { return {days + n}; }
  constexpr Date operator-(int n) const { return {days - n}; }
  constexpr int operator-(Date o) const { return days - o.days; }
  static Date Of(int year, int month, int day);  // 1..12, 1..31; must exist
  static Date Of(Time t);                        // the UTC day that holds t
  int year() const;
  int month() const;
  int day() const;
  Time Start() const { return {int64_t{days} * 86'400'000'000}; }
};
inline constexpr Date kNoDate = {};

// Years that documents may speak of; beyond them a date is a typing error.
inline constexpr int kFirstYear = 2000, kLastYear = 2100;

// "2027-03-01"; a time behind it ("2027-03-01T00:00:00Z") is not taken. `field` names it in errors.
Result<Date> ParseDate(std::string_view text, std::string_view field);
std::string Text(Date d);  // "2027-03-01"; "" if not set

// n months later (or earlier), on the same day of the month or on its last day if there is none.
Date AddMonths(Date d, int n);
Date FirstOfMonth(Date d);
// Months since 1970-01, for arithmetic on calendar months; and the first day of one.
int MonthOf(Date d);
Date StartOfMonth(int month);
std::string MonthText(int month);  // "2027-03"
Result<int> ParseMonth(std::string_view text, std::string_view field);

// RFC 3339 in UTC, as FOCUS writes it: "2023-01-01T00:00:00Z", with or without a fraction of a
// second. An hour 30 or a 31st of February is refused.
Result<Time> ParseInstant(std::string_view text, std::string_view field);
std::string InstantText(Time t);  // whole seconds where it is one

}  // namespace weir::market
