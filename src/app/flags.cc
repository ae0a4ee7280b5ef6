#include <csignal>
#include <map>

#include "app/client_commands.h"
#include "io/clock.h"

namespace weir::app {

namespace {
volatile std::sig_atomic_t g_interrupted = 0;

std::optional<int64_t> Whole(std::string_view text) {
  if (text.empty() || text.size() > 9) return std::nullopt;
  int64_t n = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    n = n * 10 + (c - '0');
  }
  return n;
}
}  // namespace

Result<std::pair<int64_t, int64_t>> ParseRange(const std::string& what, const std::string& text) {
  const size_t dots = text.find("..");
  const auto low = Whole(text.substr(0, dots));
  const auto high = dots == text.npos ? low : Whole(text.substr(dots + 2));
  if (!low || !high || *low > *high) {
    return Error(Code::kInvalidArgument, what + ": \"" + text + "\" is not a number or a range")
        .Hint("write 4, or 2..8 for any number from 2 to 8");
  }
  return std::pair(*low, *high);
}

Result<Duration> DurationFlag(const std::string& what, const std::string& text) {
  const auto duration = ParseDuration(text);
  if (!duration) {
    return Error(Code::kInvalidArgument, what + ": \"" + text + "\" is not a length of time")
        .Hint("write 500ms, 90s, 1m30s, 2h or 1d");
  }
  return *duration;
}

Result<double> SecondsFlag(const std::string& what, const std::string& text, double otherwise) {
  if (text.empty()) return otherwise;
  const Duration d = TRY(DurationFlag(what, text));
  if (d.us < 0) return Error(Code::kInvalidArgument, what + ": " + text + " is less than nothing");
  return d.seconds();
}

Result<int64_t> BytesFlag(const std::string& what, const std::string& text) {
  const auto bytes = ParseBytes(text);
  if (!bytes) {
    return Error(Code::kInvalidArgument, what + ": \"" + text + "\" is not a number of bytes")
        .Hint("write 512MiB or 2GB");
  }
  return *bytes;
}

Result<std::map<std::string, std::string>> EnvFlags(const std::vector<std::string>& pairs) {
  std::map<std::string, std::string> env;
  for (const std::string& pair : pairs) {
    const size_t equals = pair.find('=');
    if (equals == pair.npos || equals == 0) {
      return Error(Code::kInvalidArgument, "--env: \"" + pair + "\" is not NAME=VALUE")
          .Hint("write --env OMP_NUM_THREADS=2");
    }
    env[pair.substr(0, equals)] = pair.substr(equals + 1);
  }
  return env;
}

void CatchInterrupt() {
  std::signal(SIGINT, [](int) { g_interrupted = 1; });
  std::signal(SIGTERM, [](int) { g_interrupted = 1; });
}
bool Interrupted() { return g_interrupted != 0; }

Time Now() { return io::RealClock().Now(); }

Error BadFlag(std::string_view flag, std::string_view expected, std::string_view got) {
  return Error(Code::kInvalidArgument,
               fmt::format("{}: expected {}, got \"{}\"", flag, expected, got));
}

}  // namespace weir::app
