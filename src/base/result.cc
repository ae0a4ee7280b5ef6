#include "base/result.h"

#include <cstdio>
#include <cstdlib>

#include "base/version.h"

namespace weir {

namespace {
constexpr CodeInfo kCodes[] = {
    {Code::kInvalidArgument, "invalid_argument", 400, 2},
    {Code::kUnauthenticated, "unauthenticated", 401, 3},
    {Code::kPermissionDenied, "permission_denied", 403, 3},
    {Code::kNotFound, "not_found", 404, 4},
    {Code::kAlreadyExists, "already_exists", 409, 5},
    {Code::kFailedPrecondition, "failed_precondition", 412, 6},
    {Code::kResourceExhausted, "resource_exhausted", 429, 7},
    {Code::kTooLarge, "too_large", 413, 2},
    {Code::kUnavailable, "unavailable", 503, 8},
    {Code::kDeadlineExceeded, "deadline_exceeded", 504, 9},
    {Code::kCancelled, "cancelled", 499, 130},
    {Code::kDataLoss, "data_loss", 500, 10},
    {Code::kUnimplemented, "unimplemented", 501, 11},
    {Code::kInternal, "internal", 500, 1},
};
}  // namespace

const CodeInfo& InfoOf(Code code) { return kCodes[static_cast<int>(code)]; }

std::optional<Code> CodeFromHttpStatus(int http_status) {
  for (const CodeInfo& info : kCodes) {
    if (info.http_status == http_status) return http_status == 500 ? Code::kInternal : info.code;
  }
  return std::nullopt;
}

std::string Error::ToString() const {
  return hint_.empty() ? message_ : message_ + " (" + hint_ + ")";
}

void CheckFailed(const char* file, int line, const char* condition, std::string_view values) {
  std::fprintf(stderr, "weir %s: bug: %s:%d: CHECK(%s) failed%s%.*s\n", kVersion, file, line,
               condition, values.empty() ? "" : ": ", static_cast<int>(values.size()),
               values.data());
  std::fflush(stderr);
  std::abort();
}

}  // namespace weir
