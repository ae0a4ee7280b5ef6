#include "control/sim/report/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace weir::sim {

namespace {

constexpr double kLeft = 56, kRight = 12, kTop = 26, kBottom = 38;

// 1, 2 or 5 times a power of ten, so that about `count` of them make `span`.
double NiceStep(double span, int count) {
  if (span <= 0) return 1;
  const double raw = span / count;
  const double power = std::pow(10, std::floor(std::log10(raw)));
  for (const double m : {1.0, 2.0, 5.0, 10.0}) {
    if (m * power >= raw) return m * power;
  }
  return 10 * power;
}

std::string Short(double v) {
  const double a = std::fabs(v);
  if (a >= 1e6) return fmt::format("{:.3g}M", v / 1e6);
  if (a >= 1e4) return fmt::format("{:.3g}k", v / 1e3);
  return fmt::format("{:.4g}", v);
}

class Frame {
 public:
  Frame(const Axes& axes, double x0, double x1, double y1)
      : axes_(axes), x0_(x0), x1_(std::max(x1, x0 + 1e-9)), y1_(y1 > 0 ? y1 : 1) {}
  double X(double x) const {
    const double w = axes_.width - kLeft - kRight;
    if (!axes_.log_x) return kLeft + (x - x0_) / (x1_ - x0_) * w;
    const double top = std::log10(std::max(10.0, x1_));
    return kLeft + std::log10(std::max(1.0, x)) / top * w;
  }
  double Y(double y) const {
    const double h = axes_.height - kTop - kBottom;
    return kTop + h - std::clamp(y / y1_, 0.0, 1.0) * h;
  }
  std::string Begin() const {
    std::string out = fmt::format(
        "<svg viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" role=\"img\" "
        "aria-label=\"{2}\"><text class=\"t\" x=\"{3:.0f}\" y=\"15\">{2}</text>",
        axes_.width, axes_.height, EscapeHtml(axes_.title), kLeft);
    const double step = NiceStep(y1_, 4);
    for (double y = 0; y <= y1_ * 1.0001; y += step) {
      out += fmt::format(
          "<line class=\"g\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" "
          "y2=\"{:.1f}\"/><text class=\"n\" text-anchor=\"end\" x=\"{:.1f}\" "
          "y=\"{:.1f}\">{}</text>",
          kLeft, axes_.width - kRight, Y(y), Y(y), kLeft - 5, Y(y) + 3.5, Short(y));
    }
    const auto tick = [&](double x) {
      out += fmt::format(
          "<text class=\"n\" text-anchor=\"middle\" x=\"{:.1f}\" y=\"{:.1f}\">{}"
          "</text>",
          X(x), axes_.height - kBottom + 14, Short(x));
    };
    if (axes_.log_x) {
      for (double x = 1; x <= x1_ * 1.0001; x *= 10) tick(x);
    } else {
      const double xs = NiceStep(x1_ - x0_, 6);
      for (double x = std::ceil(x0_ / xs) * xs; x <= x1_ * 1.0001; x += xs) tick(x);
    }
    out += fmt::format(
        "<text class=\"n\" text-anchor=\"end\" x=\"{:.1f}\" y=\"{}\">{}</text>"
        "<text class=\"n\" transform=\"translate(11,{:.1f}) rotate(-90)\" "
        "text-anchor=\"middle\">{}</text>",
        axes_.width - kRight, axes_.height - 8, EscapeHtml(axes_.x),
        kTop + (axes_.height - kTop - kBottom) / 2, EscapeHtml(axes_.y));
    return out;
  }

 private:
  const Axes& axes_;
  double x0_, x1_, y1_;
};

std::string Path(const Frame& frame, const std::vector<std::pair<double, double>>& points) {
  std::string d;
  for (const auto& [x, y] : points)
    d += fmt::format("{}{:.1f},{:.1f}", d.empty() ? "M" : "L", frame.X(x), frame.Y(y));
  return d;
}

std::string LineOf(const Frame& frame, const Curve& curve) {
  return fmt::format(
      "<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.6\"{}>"
      "<title>{}</title></path>",
      Path(frame, curve.points), curve.colour, curve.dashed ? " stroke-dasharray=\"5 3\"" : "",
      EscapeHtml(curve.name));
}

}  // namespace

std::string EscapeHtml(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '&':
        out += "&amp;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }
  return out;
}

std::string LinePlot(const Axes& axes, const std::vector<Curve>& curves) {
  double x0 = axes.log_x ? 1 : 0, x1 = x0, y1 = axes.y_max;
  for (const Curve& c : curves) {
    for (const auto& [x, y] : c.points) {
      x1 = std::max(x1, x);
      if (axes.y_max <= 0) y1 = std::max(y1, y);
    }
  }
  const Frame frame(axes, x0, x1, y1);
  std::string out = frame.Begin();
  for (const Curve& c : curves) out += LineOf(frame, c);
  return out + "</svg>";
}

std::string AreaPlot(const Axes& axes, const std::vector<Curve>& layers,
                     const std::vector<Curve>& lines) {
  double x1 = 0, y1 = axes.y_max;
  const size_t n = layers.empty() ? 0 : layers[0].points.size();
  std::vector<double> base(n, 0.0);
  for (const Curve& layer : layers) {
    for (size_t i = 0; i < n; ++i) {
      base[i] += layer.points[i].second;
      x1 = std::max(x1, layer.points[i].first);
      if (axes.y_max <= 0) y1 = std::max(y1, base[i]);
    }
  }
  const Frame frame(axes, 0, x1, y1);
  std::string out = frame.Begin();
  std::fill(base.begin(), base.end(), 0.0);
  for (const Curve& layer : layers) {
    std::vector<std::pair<double, double>> outline;
    for (size_t i = 0; i < n; ++i)
      outline.emplace_back(layer.points[i].first, base[i] + layer.points[i].second);
    for (size_t i = n; i-- > 0;) outline.emplace_back(layer.points[i].first, base[i]);
    for (size_t i = 0; i < n; ++i) base[i] += layer.points[i].second;
    out += fmt::format("<path d=\"{}Z\" fill=\"{}\"><title>{}</title></path>", Path(frame, outline),
                       layer.colour, EscapeHtml(layer.name));
  }
  for (const Curve& line : lines) out += LineOf(frame, line);
  return out + "</svg>";
}

std::string BarPlot(const Axes& axes, const std::vector<Bar>& bars,
                    const std::vector<std::pair<std::string, std::string>>& parts) {
  double most = 0;
  for (const Bar& bar : bars) {
    double sum = 0;
    for (const double part : bar.parts) sum += part;
    most = std::max(most, sum);
  }
  if (most <= 0) most = 1;
  const double row = 22, left = 84, width = axes.width - left - 70;
  const double height = kTop + row * static_cast<double>(bars.size()) + 10;
  std::string out = fmt::format(
      "<svg viewBox=\"0 0 {0} {1:.0f}\" width=\"{0}\" height=\"{1:.0f}\" role=\"img\" "
      "aria-label=\"{2}\"><text class=\"t\" x=\"8\" y=\"15\">{2}</text>",
      axes.width, height, EscapeHtml(axes.title));
  double y = kTop;
  for (const Bar& bar : bars) {
    out += fmt::format("<text class=\"n\" text-anchor=\"end\" x=\"{:.0f}\" y=\"{:.1f}\">{}</text>",
                       left - 6, y + 14, EscapeHtml(bar.name));
    double x = left, sum = 0;
    for (size_t i = 0; i < bar.parts.size() && i < parts.size(); ++i) {
      const double w = std::max(0.0, bar.parts[i]) / most * width;
      out += fmt::format(
          "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"16\" "
          "fill=\"{}\"><title>{}: {}</title></rect>",
          x, y + 2, w, parts[i].second, EscapeHtml(parts[i].first), Short(bar.parts[i]));
      x += w;
      sum += bar.parts[i];
    }
    out += fmt::format("<text class=\"n\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>", x + 5, y + 14,
                       Short(sum));
    y += row;
  }
  return out + "</svg>";
}

}  // namespace weir::sim
