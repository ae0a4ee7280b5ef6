// Units as types: a duration, an instant, bytes and money cannot be mixed up at a call site.
// All are integers; text forms for people stand beside them.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace weir {

// A length of time in microseconds.
struct Duration {
  int64_t us = 0;
  static constexpr Duration Micros(int64_t n) { return {n}; }
  static constexpr Duration Millis(int64_t n) { return {n * 1000}; }
  static constexpr Duration Seconds(int64_t n) { return {n * 1'000'000}; }
  static constexpr Duration Minutes(int64_t n) { return {n * 60'000'000}; }
  static constexpr Duration FromSeconds(double s) { return {static_cast<int64_t>(s * 1e6)}; }
  constexpr double seconds() const { return static_cast<double>(us) / 1e6; }
  constexpr int64_t millis() const { return us / 1000; }
  constexpr auto operator<=>(const Duration&) const = default;
  constexpr Duration operator+(Duration o) const { return {us + o.us}; }
  constexpr Duration operator-(Duration o) const { return {us - o.us}; }
  constexpr Duration operator*(int64_t n) const { return {us * n}; }
  constexpr Duration operator/(int64_t n) const { return {us / n}; }
};

// An instant on the wall clock: microseconds since 1970-01-01T00:00:00Z. 0 means "never".
struct Time {
  int64_t us = 0;
  constexpr bool is_set() const { return us != 0; }
  constexpr auto operator<=>(const Time&) const = default;
  constexpr Time operator+(Duration d) const { return {us + d.us}; }
  constexpr Time operator-(Duration d) const { return {us - d.us}; }
  constexpr Duration operator-(Time o) const { return {us - o.us}; }
};

// Money: millionths of a US dollar.
struct MicroUsd {
  int64_t micro = 0;
  constexpr auto operator<=>(const MicroUsd&) const = default;
  constexpr MicroUsd operator+(MicroUsd o) const { return {micro + o.micro}; }
};

// For people: "1.5 s", "2 min 5 s", "3 h 20 min", "4 d 2 h"; "12.3 MiB"; "$1,234.56";
// "2026-11-22 14:03:05Z".
std::string Human(Duration d);
std::string Human(Time t);
std::string Human(MicroUsd m);
std::string HumanBytes(int64_t bytes);
std::string HumanCount(double n);  // "950", "12.3k", "4.56M"
// RFC 3339 with microseconds, UTC.
std::string Rfc3339(Time t);

// "90s", "1m30s", "250ms", "2h", "1d": what flags and config files take. nullopt if not so.
std::optional<Duration> ParseDuration(std::string_view text);
// "512", "64k", "1.5GiB", "2GB": bytes.
std::optional<int64_t> ParseBytes(std::string_view text);

}  // namespace weir
