#include "lab/market/date.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"

namespace weir::market {

namespace {
struct Civil {
  int year, month, day;
};

int32_t DaysFromCivil(int y, int m, int d) {
  y -= m <= 2;
  const int era = (y >= 0 ? y : y - 399) / 400;
  const int yoe = y - era * 400;
  const int doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
  const int doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
  return era * 146097 + doe - 719468;
}

Civil CivilFromDays(int32_t z) {
  z += 719468;
  const int era = (z >= 0 ? z : z - 146096) / 146097;
  const int doe = z - era * 146097;
  const int yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
  const int doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
  const int mp = (5 * doy + 2) / 153;
  const int month = mp < 10 ? mp + 3 : mp - 9;
  return {yoe + era * 400 + (month <= 2), month, doy - (153 * mp + 2) / 5 + 1};
}

int DaysIn(int year, int month) {
  constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  return month == 2 && leap ? 29 : kDays[month - 1];
}

// `n` digits at `at`, or -1.
int Digits(std::string_view text, size_t at, size_t n) {
  if (at + n > text.size()) return -1;
  int value = 0;
  for (size_t i = at; i < at + n; ++i) {
    if (text[i] < '0' || text[i] > '9') return -1;
    value = value * 10 + (text[i] - '0');
  }
  return value;
}

Error Bad(std::string_view field, std::string_view text, std::string_view why,
          std::string_view hint) {
  return Error(Code::kInvalidArgument, fmt::format("{}: \"{}\" {}", field, text.substr(0, 40), why))
      .Hint(std::string(hint));
}
constexpr std::string_view kDateHint = "write a day as 2027-03-01 (year, month, day)";
}  // namespace

Date Date::Of(int year, int month, int day) {
  CHECK(month >= 1 && month <= 12 && day >= 1 && day <= DaysIn(year, month));
  return {DaysFromCivil(year, month, day)};
}
Date Date::Of(Time t) {
  constexpr int64_t kDay = 86'400'000'000;
  return {static_cast<int32_t>(t.us >= 0 ? t.us / kDay : -((-t.us + kDay - 1) / kDay))};
}
int Date::year() const { return CivilFromDays(days).year; }
int Date::month() const { return CivilFromDays(days).month; }
int Date::day() const { return CivilFromDays(days).day; }

Result<Date> ParseDate(std::string_view text, std::string_view field) {
  const int y = Digits(text, 0, 4), m = Digits(text, 5, 2), d = Digits(text, 8, 2);
  if (text.size() != 10 || text[4] != '-' || text[7] != '-' || y < 0 || m < 0 || d < 0)
    return Bad(field, text, "is not a day", kDateHint);
  if (m < 1 || m > 12 || d < 1 || d > DaysIn(y, m))
    return Bad(field, text, "is no day of the calendar", kDateHint);
  if (y < kFirstYear || y > kLastYear)
    return Bad(field, text, fmt::format("is not between {} and {}", kFirstYear, kLastYear),
               kDateHint);
  return Date::Of(y, m, d);
}

std::string Text(Date d) {
  if (!d.is_set()) return "";
  const Civil c = CivilFromDays(d.days);
  return fmt::format("{:04}-{:02}-{:02}", c.year, c.month, c.day);
}

Date AddMonths(Date d, int n) {
  const Civil c = CivilFromDays(d.days);
  const int months = c.year * 12 + c.month - 1 + n;
  const int year = months >= 0 ? months / 12 : -((11 - months) / 12);
  const int month = months - year * 12 + 1;
  return Date::Of(year, month, std::min(c.day, DaysIn(year, month)));
}
Date FirstOfMonth(Date d) { return d - (d.day() - 1); }
int MonthOf(Date d) {
  const Civil c = CivilFromDays(d.days);
  return (c.year - 1970) * 12 + c.month - 1;
}
Date StartOfMonth(int month) { return AddMonths(Date{0}, month); }
std::string MonthText(int month) { return Text(StartOfMonth(month)).substr(0, 7); }

Result<int> ParseMonth(std::string_view text, std::string_view field) {
  const auto first = ParseDate(fmt::format("{}-01", text.substr(0, 12)), field);
  if (text.size() != 7 || !first)
    return Bad(field, text, "is not a month", "write a month as 2027-03");
  return MonthOf(*first);
}

Result<Time> ParseInstant(std::string_view text, std::string_view field) {
  constexpr std::string_view kHint = "write an instant in UTC as 2023-01-01T00:00:00Z";
  const auto day = ParseDate(text.substr(0, 10), field);
  if (!day) return Bad(field, text, "is not an instant", kHint);
  const int h = Digits(text, 11, 2), m = Digits(text, 14, 2), s = Digits(text, 17, 2);
  if (text.size() < 20 || text[10] != 'T' || text[13] != ':' || text[16] != ':' || h < 0 || m < 0 ||
      s < 0)
    return Bad(field, text, "is not an instant", kHint);
  if (h > 23) return Bad(field, text, fmt::format("has an hour {}", h), kHint);
  if (m > 59 || s > 59) return Bad(field, text, "has no such minute or second", kHint);
  int64_t us = ((int64_t{h} * 60 + m) * 60 + s) * 1'000'000;
  size_t at = 19;
  if (text[at] == '.') {
    int64_t unit = 100'000;
    for (++at; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at, unit /= 10)
      us += unit * (text[at] - '0');
  }
  if (at + 1 != text.size() || text[at] != 'Z')
    return Bad(field, text, "is not in UTC (a Z at its end)", kHint);
  return Time{day->Start().us + us};
}

std::string InstantText(Time t) {
  std::string text = Rfc3339(t);
  if (t.us % 1'000'000 == 0) text.erase(19, 7);
  return text;
}

}  // namespace weir::market
