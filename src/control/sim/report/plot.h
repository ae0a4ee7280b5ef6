// Small plots as inline SVG: nothing to load, nothing to run, sharp at any size.
#pragma once

#include <string>
#include <vector>

namespace weir::sim {

struct Curve {
  std::string name;
  std::string colour;  // CSS
  std::vector<std::pair<double, double>> points;
  bool dashed = false;
};

struct Axes {
  std::string title, x, y;  // labels with units
  bool log_x = false;       // x from 1 up; smaller ones stand at 1
  double y_max = 0;         // 0: as large as needed
  int width = 560, height = 240;
};

std::string LinePlot(const Axes& axes, const std::vector<Curve>& curves);
// Layers one above the other; points of all curves at the same x.
std::string AreaPlot(const Axes& axes, const std::vector<Curve>& layers,
                     const std::vector<Curve>& lines);
struct Bar {
  std::string name;
  std::vector<double> parts;
};
std::string BarPlot(const Axes& axes, const std::vector<Bar>& bars,
                    const std::vector<std::pair<std::string, std::string>>& parts);  // name, colour

std::string EscapeHtml(std::string_view text);

}  // namespace weir::sim
