#include "lab/plan/history.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "lab/plan/text.h"

namespace weir::plan {

Result<History> ReadHistory(std::string_view csv, std::string_view source,
                            std::string_view column) {
  const std::vector<Node> rows = TRY(ReadCsv(csv, source, "history"));
  const std::string served_name = column.empty() ? "served" : std::string(column);
  struct Sum {
    double served = 0, refused = 0, waiting_end = 0;
    int rows = 0;
  };
  std::map<Month, Sum> months;
  bool queue = false;
  std::string last;
  for (const Node& n : rows) {
    TRY(n.Only({"month", "time", "waiting", "refused", "served", served_name}));
    const std::string* time = n.Find("month") ? n.Find("month") : n.Find("time");
    if (time == nullptr)
      return n.Wrong(Code::kInvalidArgument, "this row has neither `month` nor `time`");
    const size_t length = time->size() >= 10 ? 10 : 7;
    const Month m = TRY(ParseMonth(std::string_view(*time).substr(0, length), n.where + ": time"));
    if (*time < last)
      return n.Wrong(Code::kInvalidArgument,
                     fmt::format("{} comes after {}: dates out of order", *time, last));
    last = *time;
    Sum& s = months[m];
    s.served += TRY(n.Number(served_name, Unit::kCount));
    s.refused += TRY(n.NumberOr("refused", Unit::kCount, 0));
    s.waiting_end = TRY(n.NumberOr("waiting", Unit::kCount, 0));
    queue = queue || n.Find("waiting") != nullptr;
    ++s.rows;
  }
  History h;
  double waiting = -1;
  for (const auto& [m, s] : months) {
    if (!h.month.empty() && m != h.month.back() + 1)
      return Error(Code::kInvalidArgument, fmt::format("{}: nothing between {} and {}", source,
                                                       MonthText(h.month.back()), MonthText(m)))
          .Hint("a history has every month; write 0 where nothing ran");
    const double served = s.served / s.rows;
    // The first month's queue may be old: its growth is not known, and taken as nothing.
    const double growth = queue && waiting >= 0 ? s.waiting_end - waiting : 0;
    waiting = s.waiting_end;
    h.month.push_back(m);
    h.served.push_back(served);
    h.demand.push_back(std::max(0.0, served + s.refused / s.rows + growth));
  }
  h.backlog = std::max(0.0, waiting);
  return h;
}

Result<Fit> FitHistory(const History& h, Month at) {
  const size_t n = h.demand.size();
  if (n < 3)
    return Error(Code::kFailedPrecondition, fmt::format("a history of {} months has no trend", n))
        .Hint("give three months or more, or `level` and `growth` instead");
  std::vector<double> y;
  double mean = 0;
  for (const double v : h.demand) mean += v / static_cast<double>(n);
  if (mean <= 0)
    return Error(Code::kFailedPrecondition, "nothing was ever asked for in this history");
  for (const double v : h.demand) y.push_back(std::log(std::max(v, 1e-3 * mean)));
  double sx = 0, sy = 0, sxx = 0, sxy = 0;
  for (size_t i = 0; i < n; ++i) {
    const double x = static_cast<double>(h.month[i] - at);
    sx += x;
    sy += y[i];
    sxx += x * x;
    sxy += x * y[i];
  }
  const double count = static_cast<double>(n), spread = sxx - sx * sx / count;
  const double slope = (sxy - sx * sy / count) / spread, height = (sy - slope * sx) / count;
  double ss = 0, lag = 0, before = 0;
  for (size_t i = 0; i < n; ++i) {
    const double r = y[i] - height - slope * static_cast<double>(h.month[i] - at);
    ss += r * r;
    if (i > 0) lag += r * before;
    before = r;
  }
  Fit f;
  f.noise = std::sqrt(ss / std::max(1.0, count - 2));
  f.persistence = std::clamp(ss > 0 ? lag / ss : 0.0, 0.0, 0.95);
  // Neighbouring months say nearly the same: fewer of them are worth counting.
  f.growth_sd = f.noise / std::sqrt(spread) * std::sqrt((1 + f.persistence) / (1 - f.persistence));
  f.growth_sd = std::min(f.growth_sd, 0.5);
  f.growth = std::clamp(std::exp(slope) - 1, -0.5, 0.5);
  f.level = std::exp(height + f.noise * f.noise / 2);
  f.backlog = h.backlog;
  f.unserved = std::max(0.0, h.demand.back() - h.served.back());
  return f;
}

}  // namespace weir::plan
