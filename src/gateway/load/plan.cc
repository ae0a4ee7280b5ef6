#include "gateway/load/plan.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <map>
#include <optional>

namespace weir::gateway {

namespace {

constexpr size_t kMaxTraceBytes = size_t{1} << 30;

std::optional<double> Number(std::string_view text) {
  while (!text.empty() && (text.back() == '\r' || text.back() == ' ')) text.remove_suffix(1);
  double value = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (ec != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) {
    return std::nullopt;
  }
  return value;
}

// "10x" -> 10.
std::optional<double> Factor(std::string_view text) {
  if (!text.ends_with('x')) return std::nullopt;
  const auto n = Number(text.substr(0, text.size() - 1));
  return n && *n >= 0 ? n : std::nullopt;
}

Error BadShape(std::string_view text) {
  return Error(Code::kInvalidArgument, fmt::format("\"{}\" is not a shape of load", text))
      .Hint("write constant, ramp:0.1x..3x, or surge:10x@20s+60s (ten times from 20 s, for 60 s)");
}

Error TooMany() {
  return Error(Code::kTooLarge, fmt::format("the plan has more than {} requests", kMaxPlanned))
      .Hint("lower the rate, the duration or the sample");
}

std::vector<std::string_view> Cells(std::string_view line) {
  std::vector<std::string_view> out;
  for (;;) {
    const size_t comma = line.find(',');
    out.push_back(line.substr(0, comma));
    if (comma == std::string_view::npos) return out;
    line.remove_prefix(comma + 1);
  }
}

struct Window {
  double rate = 0, in = 0, out = 0;
};

}  // namespace

double LoadShape::FactorAt(Duration t, Duration total) const {
  switch (kind) {
    case Kind::kConstant:
      return 1;
    case Kind::kRamp:
      return from + (to - from) * std::min(1.0, t.seconds() / total.seconds());
    case Kind::kSurge:
      return t >= at && t < at + length ? to : 1;
  }
  return 1;
}

Result<LoadShape> ParseLoadShape(std::string_view text) {
  LoadShape shape;
  if (text == "constant") return shape;
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos) return BadShape(text);
  const std::string_view kind = text.substr(0, colon), rest = text.substr(colon + 1);
  if (kind == "ramp") {
    const size_t dots = rest.find("..");
    if (dots == std::string_view::npos) return BadShape(text);
    const auto from = Factor(rest.substr(0, dots)), to = Factor(rest.substr(dots + 2));
    if (!from || !to) return BadShape(text);
    shape.kind = LoadShape::Kind::kRamp;
    shape.from = *from;
    shape.to = *to;
    return shape;
  }
  const size_t at = rest.find('@');
  const size_t plus = rest.find('+', at == std::string_view::npos ? 0 : at);
  if (kind != "surge" || at == std::string_view::npos || plus == std::string_view::npos) {
    return BadShape(text);
  }
  const auto factor = Factor(rest.substr(0, at));
  const auto begin = ParseDuration(rest.substr(at + 1, plus - at - 1));
  const auto length = ParseDuration(rest.substr(plus + 1));
  if (!factor || !begin || !length) return BadShape(text);
  shape.kind = LoadShape::Kind::kSurge;
  shape.to = *factor;
  shape.at = *begin;
  shape.length = *length;
  return shape;
}

Result<double> ParseRate(std::string_view text) {
  double per_s = 1;
  std::string_view number = text;
  if (text.ends_with("/s") || text.ends_with("/m") || text.ends_with("/h")) {
    per_s = text.back() == 's' ? 1 : text.back() == 'm' ? 60 : 3600;
    number = text.substr(0, text.size() - 2);
  }
  const auto n = Number(number);
  if (!n || *n <= 0) {
    return Error(Code::kInvalidArgument, fmt::format("\"{}\" is not a rate", text))
        .Hint("write requests per time, such as 20/s or 90/m");
  }
  return *n / per_s;
}

Result<std::vector<PlannedRequest>> MakePlan(const SyntheticPlan& plan) {
  // One unit of "work" per request: arrivals are where the integral of the rate crosses the next
  // threshold, thresholds being one apart (even) or exponentially far apart (Poisson). Integrated
  // in steps of a millisecond, which is exact but for ramps and there off by under 1e-6.
  if (plan.rate_per_s * plan.total.seconds() > 4.0 * kMaxPlanned) return TooMany();
  Random random(plan.seed);
  std::vector<PlannedRequest> out;
  const auto gap = [&] { return plan.spacing == Spacing::kEven ? 1.0 : random.Exponential(1.0); };
  double next = gap();  // until the next arrival, in units of expected requests
  constexpr Duration kStep = Duration::Millis(1);
  for (Duration t; t < plan.total; t = t + kStep) {
    const double rate = plan.rate_per_s * plan.shape.FactorAt(t, plan.total);
    double left = rate * kStep.seconds();
    double done = 0;
    while (next <= left) {
      left -= next;
      done += next;
      out.push_back({t + Duration::FromSeconds(done / rate)});
      if (out.size() > kMaxPlanned) return TooMany();
      next = gap();
    }
    next -= left;
  }
  return out;
}

Result<std::vector<PlannedRequest>> MakePlan(const ReplayPlan& plan) {
  const auto wrong = [](std::string message) {
    return Error(Code::kInvalidArgument, std::move(message))
        .Hint(
            "a trace is CSV with a header: arrival_s or arrival_ms, input_tokens, output_tokens; "
            "or t_s, rate_rps, mean_in_tokens, mean_out_tokens");
  };
  std::string_view rest = plan.csv;
  const auto line = [&] {
    const size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view l = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (l.ends_with('\r')) l.remove_suffix(1);
    return l;
  };
  const auto header = Cells(line());
  const auto column = [&](std::string_view name) -> std::optional<size_t> {
    const auto it = std::find(header.begin(), header.end(), name);
    if (it == header.end()) return std::nullopt;
    return static_cast<size_t>(it - header.begin());
  };
  const auto arrival_s = column("arrival_s"), arrival_ms = column("arrival_ms"),
             window_s = column("t_s"), rate = column("rate_rps");
  const bool single = arrival_s || arrival_ms;
  if (!single && !(window_s && rate)) {
    return wrong(fmt::format("the trace's header \"{}\" is not known",
                             plan.csv.substr(0, std::min<size_t>(plan.csv.find('\n'), 80))));
  }
  const auto in = single ? column("input_tokens") : column("mean_in_tokens");
  const auto out_tokens = single ? column("output_tokens") : column("mean_out_tokens");
  const auto when = single ? arrival_s.value_or(arrival_ms.value_or(0)) : *window_s;
  const double unit = single && !arrival_s ? 1e-3 : 1;

  Random random(plan.seed);
  std::vector<PlannedRequest> out;
  std::map<double, Window> windows;
  int number = 1;
  while (!rest.empty()) {
    const std::string_view text = line();
    ++number;
    if (text.empty()) continue;
    const auto cells = Cells(text);
    const auto cell = [&](std::optional<size_t> c) {
      return c && *c < cells.size() ? Number(cells[*c]) : std::nullopt;
    };
    const auto t = cell(when);
    if (!t || *t < 0) return wrong(fmt::format("line {} of the trace has no time", number));
    if (single) {
      if (!random.Chance(plan.sample)) continue;
      const Duration at = Duration::FromSeconds(*t * unit / plan.speedup);
      if (plan.total.us > 0 && at >= plan.total) continue;
      out.push_back({at, static_cast<int>(cell(in).value_or(0)),
                     static_cast<int>(cell(out_tokens).value_or(0))});
      if (out.size() > kMaxPlanned) return TooMany();
      continue;
    }
    const auto r = cell(rate);
    if (!r || *r < 0) return wrong(fmt::format("line {} of the trace has no rate", number));
    Window& w = windows[*t];
    w.rate += *r;
    w.in = cell(in).value_or(w.in);
    w.out = cell(out_tokens).value_or(w.out);
  }
  // Windows: Poisson arrivals at each one's rate, until the next begins.
  double last_length = 600;
  for (auto it = windows.begin(); it != windows.end(); ++it) {
    const auto next = std::next(it);
    if (next != windows.end()) last_length = next->first - it->first;
    const double per_s = it->second.rate * plan.sample;
    if (per_s <= 0) continue;
    const double begin = windows.begin()->first;
    for (double t = random.Exponential(1 / per_s); t < last_length;
         t += random.Exponential(1 / per_s)) {
      const Duration at = Duration::FromSeconds((it->first - begin + t) / plan.speedup);
      if (plan.total.us > 0 && at >= plan.total) break;
      out.push_back({at, static_cast<int>(it->second.in), static_cast<int>(it->second.out)});
      if (out.size() > kMaxPlanned) return TooMany();
    }
  }
  if (out.empty()) return wrong("the trace has no request in this stretch");
  std::stable_sort(out.begin(), out.end(),
                   [](const auto& a, const auto& b) { return a.at < b.at; });
  return out;
}

Result<std::string> ReadMaybeGzip(const std::string& path) {
  // zlib reads a file that is not gzip as it is.
  gzFile file = gzopen(path.c_str(), "rb");
  if (!file) {
    return Error(errno == ENOENT ? Code::kNotFound : Code::kPermissionDenied,
                 fmt::format("cannot read {}: {}", path, std::strerror(errno)));
  }
  std::string out;
  std::vector<char> piece(1 << 20);
  int n = 0;
  while ((n = gzread(file, piece.data(), static_cast<unsigned>(piece.size()))) > 0) {
    out.append(piece.data(), static_cast<size_t>(n));
    if (out.size() > kMaxTraceBytes) break;
  }
  const bool whole = gzclose_r(file) == Z_OK && n >= 0;
  if (out.size() > kMaxTraceBytes) {
    return Error(Code::kTooLarge, fmt::format("{} is longer than 1 GiB unpacked", path));
  }
  if (!whole) {
    return Error(Code::kDataLoss, fmt::format("{} is cut short or damaged", path))
        .Hint("fetch the file again; `gzip -t` checks it");
  }
  return out;
}

}  // namespace weir::gateway
