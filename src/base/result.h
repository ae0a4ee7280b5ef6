// Result<T>: a value, or an Error that says what went wrong.
//
// Expected failures (bad input, full, gone, late, refused) are returned, never thrown. An Error
// carries a code that some caller acts on differently, one sentence with the values in it, and a
// hint with the next step. One table maps codes to HTTP statuses and exit statuses.
//
//   Result<Quota> QuotaOf(std::string_view team);
//   const Quota quota = TRY(QuotaOf(team));            // on error: returns it, untouched
//   return Error(Code::kNotFound, fmt::format("team {} is not known", team))
//       .Hint("see `weir team list`");
//
// Member names follow std::expected, so that it can take over where C++23 is at hand.
// Threads: a value type like any other. Errors: value() on an error aborts with the error's text.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "base/check.h"

namespace weir {

enum class Code {
  kInvalidArgument,     // the request itself is wrong; asking again will not help
  kUnauthenticated,     // no key, or one that is not known
  kPermissionDenied,    // a known key without the right
  kNotFound,            // the thing named does not exist
  kAlreadyExists,       // the name is taken
  kFailedPrecondition,  // the thing exists, but not in a state that allows this
  kResourceExhausted,   // full for now: come back later
  kTooLarge,            // more bytes than the stated bound
  kUnavailable,         // the other side is down or not ready: come back later
  kDeadlineExceeded,    // it took longer than the caller gave it
  kCancelled,           // the caller went away
  kDataLoss,            // bytes on disk or wire are not what was written
  kUnimplemented,       // known, valid, and not offered here
  kInternal,            // our own fault
};

struct CodeInfo {
  Code code;
  std::string_view name;  // "not_found": used in JSON and in logs
  int http_status;
  int exit_status;  // of the CLI; documented in docs/cli.md
};
const CodeInfo& InfoOf(Code code);
std::optional<Code> CodeFromHttpStatus(int http_status);

class [[nodiscard]] Error {
 public:
  Error(Code code, std::string message) : code_(code), message_(std::move(message)) {}
  // The next step for whoever reads this: a command, an option, a page.
  Error Hint(std::string hint) && {
    hint_ = std::move(hint);
    return std::move(*this);
  }
  // Where this arose, outermost first: Error("x").In("reading a.toml") reads "reading a.toml: x".
  Error In(std::string_view where) && {
    message_ = std::string(where) + ": " + message_;
    return std::move(*this);
  }
  // How long to wait before asking again, for kResourceExhausted and kUnavailable.
  Error RetryAfter(int seconds) && {
    retry_after_s_ = seconds;
    return std::move(*this);
  }
  Code code() const { return code_; }
  const std::string& message() const { return message_; }
  const std::string& hint() const { return hint_; }
  std::optional<int> retry_after_s() const { return retry_after_s_; }
  // "message (hint)" on one line.
  std::string ToString() const;

 private:
  Code code_;
  std::string message_;
  std::string hint_;
  std::optional<int> retry_after_s_;
};

template <class T>
class [[nodiscard]] Result {
 public:
  using value_type = T;
  Result(T value) : v_(std::in_place_index<0>, std::move(value)) {}  // NOLINT: implicit on purpose
  Result(Error error) : v_(std::in_place_index<1>, std::move(error)) {}  // NOLINT
  bool has_value() const { return v_.index() == 0; }
  explicit operator bool() const { return has_value(); }
  const Error& error() const& { return std::get<1>(v_); }
  Error&& error() && { return std::get<1>(std::move(v_)); }
  T& value() & {
    RequireValue();
    return std::get<0>(v_);
  }
  const T& value() const& {
    RequireValue();
    return std::get<0>(v_);
  }
  T&& value() && {
    RequireValue();
    return std::get<0>(std::move(v_));
  }
  T value_or(T other) const& { return has_value() ? std::get<0>(v_) : std::move(other); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

 private:
  void RequireValue() const {
    if (!has_value()) CheckFailed(__FILE__, __LINE__, "Result has a value", error().ToString());
  }
  std::variant<T, Error> v_;
};

struct Unit {};

template <>
class [[nodiscard]] Result<void> {
 public:
  using value_type = void;
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT: implicit on purpose
  bool has_value() const { return !error_; }
  explicit operator bool() const { return has_value(); }
  const Error& error() const& { return *error_; }
  Error&& error() && { return *std::move(error_); }
  void value() const {
    if (error_) CheckFailed(__FILE__, __LINE__, "Result has a value", error_->ToString());
  }
  void operator*() const { value(); }

 private:
  std::optional<Error> error_;
};

using Status = Result<void>;

}  // namespace weir

// The value of a Result, or return its error from the enclosing function (which returns a Result
// of any type). Not for coroutines: there, use CO_TRY.
#define TRY(expr) WEIR_TRY_NAMED(expr, return, WEIR_TRY_JOIN(weir_try_, __COUNTER__))
#define CO_TRY(expr) WEIR_TRY_NAMED(expr, co_return, WEIR_TRY_JOIN(weir_try_, __COUNTER__))
#define WEIR_TRY_JOIN(a, b) WEIR_TRY_JOIN_(a, b)
#define WEIR_TRY_JOIN_(a, b) a##b
#define WEIR_TRY_NAMED(expr, leave, name)     \
  ({                                          \
    auto name = (expr);                       \
    if (!name) leave std::move(name).error(); \
    *std::move(name);                         \
  })
