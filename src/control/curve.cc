#include "control/curve.h"

#include <cmath>

namespace weir::control {

std::optional<double> NumberIn(const wire::Json& line, const char* name) {
  const auto it = line.find(name);
  if (it == line.end() || !it->is_number()) return std::nullopt;
  const double value = it->get<double>();
  return std::isfinite(value) ? std::optional(value) : std::nullopt;
}

wire::Curve CurveFrom(const std::string& job, const std::vector<wire::Json>& lines, size_t most) {
  wire::Curve curve{job, {}};
  std::vector<wire::CurvePoint>& points = curve.points;
  for (const wire::Json& line : lines) {
    if (!line.is_object() || line.value("type", wire::Json()) != "progress") continue;
    const auto step = NumberIn(line, "step");
    const auto loss = NumberIn(line, "loss");
    if (!step || !loss || std::abs(*step) > 9e15) continue;
    wire::CurvePoint point;
    point.step = static_cast<int64_t>(*step);
    point.loss = *loss;
    point.heldout_loss = NumberIn(line, "heldout_loss");
    point.tokens_per_s = NumberIn(line, "tokens_per_s").value_or(0);
    point.at.us = static_cast<int64_t>(NumberIn(line, "at_us").value_or(0));
    point.slots = static_cast<int64_t>(NumberIn(line, "ranks").value_or(0));
    while (!points.empty() && points.back().step >= point.step) points.pop_back();
    points.push_back(point);
  }
  if (points.size() <= most || most < 2) return curve;
  // Evenly by index, first and last kept; between two that are kept a held-out loss is not lost.
  std::vector<wire::CurvePoint> thin;
  const double stride = static_cast<double>(points.size() - 1) / static_cast<double>(most - 1);
  size_t from = 0;
  for (size_t i = 0; i < most; ++i) {
    const size_t at = static_cast<size_t>(std::llround(static_cast<double>(i) * stride));
    wire::CurvePoint point = points[at];
    for (size_t k = at + 1; !point.heldout_loss && k-- > from;)
      point.heldout_loss = points[k].heldout_loss;
    thin.push_back(point);
    from = at + 1;
  }
  points = std::move(thin);
  return curve;
}

}  // namespace weir::control
