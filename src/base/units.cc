#include "base/units.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <ctime>
#include <limits>

namespace weir {

namespace {

std::string Trimmed(double value, int digits) {
  std::string s = fmt::format("{:.{}f}", value, digits);
  if (s.find('.') != std::string::npos) {
    while (s.back() == '0') s.pop_back();
    if (s.back() == '.') s.pop_back();
  }
  return s;
}

std::string Thousands(int64_t n) {
  std::string s = std::to_string(n);
  for (int i = static_cast<int>(s.size()) - 3; i > 0; i -= 3) s.insert(static_cast<size_t>(i), ",");
  return s;
}

// A non-negative decimal number at the front of `text`; advances past it.
std::optional<double> TakeNumber(std::string_view& text) {
  double value = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  if (error != std::errc() || !(value >= 0) || std::isinf(value)) return std::nullopt;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return value;
}

}  // namespace

std::string Human(Duration d) {
  if (d.us < 0) return "-" + Human(Duration{-d.us});
  const int64_t s = d.us / 1'000'000;
  if (d.us < 1000) return fmt::format("{} us", d.us);
  if (d.us < 1'000'000)
    return Trimmed(static_cast<double>(d.us) / 1e3, d.us < 10'000 ? 1 : 0) + " ms";
  if (s < 60) return Trimmed(d.seconds(), s < 10 ? 1 : 0) + " s";
  if (s < 3600)
    return s % 60 ? fmt::format("{} min {} s", s / 60, s % 60) : fmt::format("{} min", s / 60);
  if (s < 86400) {
    const int64_t m = s / 60 % 60;
    return m ? fmt::format("{} h {} min", s / 3600, m) : fmt::format("{} h", s / 3600);
  }
  const int64_t h = s / 3600 % 24;
  return h ? fmt::format("{} d {} h", s / 86400, h) : fmt::format("{} d", s / 86400);
}

std::string Human(Time t) {
  if (!t.is_set()) return "-";
  return Rfc3339(t).substr(0, 10) + " " + Rfc3339(t).substr(11, 8) + "Z";
}

std::string Rfc3339(Time t) {
  int64_t s = t.us / 1'000'000, us = t.us % 1'000'000;
  if (us < 0) us += 1'000'000, --s;
  const std::time_t seconds = s;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z", parts.tm_year + 1900,
                     parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                     us);
}

std::string Human(MicroUsd m) {
  if (m.micro < 0) return "-" + Human(MicroUsd{-m.micro});
  if (m.micro < 10'000) return fmt::format("${:.6f}", static_cast<double>(m.micro) / 1e6);
  const int64_t cents = (m.micro + 5'000) / 10'000;
  return fmt::format("${}.{:02}", Thousands(cents / 100), cents % 100);
}

std::string HumanBytes(int64_t bytes) {
  constexpr std::array<const char*, 6> kNames = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  double value = static_cast<double>(bytes);
  size_t i = 0;
  while (std::fabs(value) >= 1024 && i + 1 < kNames.size()) value /= 1024, ++i;
  return Trimmed(value, i == 0 || value >= 100 ? 0 : 1) + " " + kNames[i];
}

std::string HumanCount(double n) {
  if (std::fabs(n) < 1000) return Trimmed(n, std::fabs(n) < 10 ? 2 : 0);
  constexpr std::array<const char*, 4> kNames = {"k", "M", "B", "T"};
  size_t i = 0;
  n /= 1000;
  while (std::fabs(n) >= 1000 && i + 1 < kNames.size()) n /= 1000, ++i;
  return Trimmed(n, std::fabs(n) < 10 ? 2 : 1) + kNames[i];
}

std::optional<Duration> ParseDuration(std::string_view text) {
  if (text.empty()) return std::nullopt;
  double total_us = 0;
  while (!text.empty()) {
    const std::optional<double> n = TakeNumber(text);
    if (!n) return std::nullopt;
    size_t letters = 0;
    while (letters < text.size() && text[letters] >= 'a' && text[letters] <= 'z') ++letters;
    const std::string_view unit = text.substr(0, letters);
    text.remove_prefix(letters);
    double scale = 0;
    if (unit == "us")
      scale = 1;
    else if (unit == "ms")
      scale = 1e3;
    else if (unit == "s")
      scale = 1e6;
    else if (unit == "m" || unit == "min")
      scale = 60e6;
    else if (unit == "h")
      scale = 3600e6;
    else if (unit == "d")
      scale = 86400e6;
    else
      return std::nullopt;
    total_us += *n * scale;
  }
  if (total_us > 9e18) return std::nullopt;
  return Duration{static_cast<int64_t>(total_us)};
}

std::optional<int64_t> ParseBytes(std::string_view text) {
  const std::optional<double> n = TakeNumber(text);
  if (!n) return std::nullopt;
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  double scale = 0;
  if (text.empty() || text == "B")
    scale = 1;
  else if (text == "k" || text == "K" || text == "KiB")
    scale = 1024.0;
  else if (text == "M" || text == "MiB")
    scale = 1024.0 * 1024;
  else if (text == "G" || text == "GiB")
    scale = 1024.0 * 1024 * 1024;
  else if (text == "T" || text == "TiB")
    scale = 1024.0 * 1024 * 1024 * 1024;
  else if (text == "KB" || text == "kB")
    scale = 1e3;
  else if (text == "MB")
    scale = 1e6;
  else if (text == "GB")
    scale = 1e9;
  else if (text == "TB")
    scale = 1e12;
  else
    return std::nullopt;
  const double bytes = *n * scale;
  if (bytes > 9e18) return std::nullopt;
  return static_cast<int64_t>(bytes);
}

}  // namespace weir
