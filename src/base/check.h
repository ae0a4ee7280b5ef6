// CHECK: an invariant that holds in every build. When it does not, that is a bug: the process
// stops, printing the place, the condition, the values and the version.
//   CHECK(n > 0);   CHECK_MSG(a == b, "a={} b={}", a, b);
#pragma once

#include <fmt/format.h>

#include <string_view>

namespace weir {
[[noreturn]] void CheckFailed(const char* file, int line, const char* condition,
                              std::string_view values);
}  // namespace weir

#define CHECK(condition)                                                       \
  do {                                                                         \
    if (!(condition)) ::weir::CheckFailed(__FILE__, __LINE__, #condition, {}); \
  } while (false)
#define CHECK_MSG(condition, ...)                                                    \
  do {                                                                               \
    if (!(condition))                                                                \
      ::weir::CheckFailed(__FILE__, __LINE__, #condition, fmt::format(__VA_ARGS__)); \
  } while (false)
