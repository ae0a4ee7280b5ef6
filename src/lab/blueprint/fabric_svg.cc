#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "lab/blueprint/fabric.h"

namespace weir::blueprint {

namespace {

constexpr double kWidth = 1120, kBox = 44, kHigh = 30, kRow = 130, kTop = 92, kLeft = 150;

struct Tier {
  std::string name, plural;
  int count;
  std::string fill, line;
  std::vector<double> x;  // centres of the drawn switches
  double y;
};

void Place(Tier& t) {
  const int drawn = std::min(t.count, kMaxDrawn);
  const double room = kWidth - kLeft - 40;
  for (int i = 0; i < drawn; ++i) t.x.push_back(kLeft + room * (i + 0.5) / drawn);
}

void Boxes(std::string& svg, const Tier& t) {
  const int drawn = static_cast<int>(t.x.size());
  for (int i = 0; i < drawn; ++i) {
    // Where not all are drawn, a dotted gap stands before the last.
    const bool gap = t.count > drawn && i == drawn - 2;
    if (gap) {
      svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" class=\"m\">&#8943;</text>\n",
                         t.x[static_cast<size_t>(i)], t.y + kHigh / 2 + 6);
      continue;
    }
    const int number = i == drawn - 1 ? t.count : i + 1;
    svg += fmt::format(
        "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{}\" height=\"{}\" rx=\"5\" fill=\"{}\" "
        "stroke=\"{}\"/>\n"
        "<text x=\"{:.1f}\" y=\"{:.1f}\" class=\"m\">{}</text>\n",
        t.x[static_cast<size_t>(i)] - kBox / 2, t.y, kBox, kHigh, t.fill, t.line,
        t.x[static_cast<size_t>(i)], t.y + kHigh / 2 + 4.5, number);
  }
  svg += fmt::format(
      "<text x=\"16\" y=\"{:.1f}\" class=\"l\">{}</text>\n<text x=\"16\" y=\"{:.1f}\" "
      "class=\"s\">{}</text>\n",
      t.y + 13, t.count == 1 ? t.name : t.plural, t.y + 29, t.count);
}

bool Shown(const Tier& t, size_t i) {
  return !(t.count > static_cast<int>(t.x.size()) && i + 2 == t.x.size());
}

// Every drawn lower box to every drawn upper box.
void Links(std::string& svg, const Tier& low, const Tier& high, const std::string& label) {
  svg += "<g class=\"k\">\n";
  for (size_t i = 0; i < low.x.size(); ++i) {
    for (size_t j = 0; j < high.x.size(); ++j) {
      if (!Shown(low, i) || !Shown(high, j)) continue;
      svg += fmt::format("<path d=\"M{:.1f} {:.1f}L{:.1f} {:.1f}\"/>\n", low.x[i], low.y, high.x[j],
                         high.y + kHigh);
    }
  }
  svg += "</g>\n";
  const double y = (low.y + high.y + kHigh) / 2;
  svg += fmt::format("<text x=\"16\" y=\"{:.1f}\" class=\"s\">{}</text>\n", y + 4, label);
}

}  // namespace

std::string DrawFabric(const Fabric& f) {
  const FabricRequest& r = f.request;
  static const char* const kRails[] = {"#4e79a7", "#f28e2b", "#59a14f", "#e15759",
                                       "#76b7b2", "#edc948", "#b07aa1", "#9c755f"};
  std::vector<Tier> tiers;
  if (f.cores > 0) tiers.push_back({"core", "cores", f.cores, "#efe3f3", "#8a5a99", {}, 0});
  if (f.spines > 0) tiers.push_back({"spine", "spines", f.spines, "#e3ecf7", "#4a6fa5", {}, 0});
  tiers.push_back({"leaf", "leaves", f.leaves, "#e6f3e6", "#4d8a50", {}, 0});
  tiers.push_back({"node", "nodes", r.nodes, "#f5f1e6", "#8d7b4c", {}, 0});
  for (size_t i = 0; i < tiers.size(); ++i) {
    tiers[i].y = kTop + static_cast<double>(i) * kRow;
    Place(tiers[i]);
  }
  const double height = tiers.back().y + 100;
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1:.0f}\" width=\"{0}\" "
      "height=\"{1:.0f}\" "
      "role=\"img\" aria-label=\"fabric of {2} "
      "nodes\">\n<style>text{{font-family:system-ui,sans-serif;fill:#222}}"
      ".t{{font-size:19px;font-weight:600}}.l{{font-size:14px;font-weight:600}}.s{{font-size:12px;"
      "fill:#555}}"
      ".m{{font-size:12px;text-anchor:middle}}.k "
      "path{{stroke:#9aa7b5;stroke-width:.6;opacity:.55}}</style>\n"
      "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
      kWidth, height, r.nodes);
  svg += fmt::format("<text x=\"16\" y=\"32\" class=\"t\">{} nodes x {} NICs, {} tier{}</text>\n",
                     r.nodes, r.nics, f.tiers, f.tiers == 1 ? "" : "s");
  svg += fmt::format(
      "<text x=\"16\" y=\"54\" class=\"s\">{}-port switches at {:.0f} Gbit/s, oversubscription "
      "{:g}:1, bisection {:.1f} Tbit/s one way</text>\n",
      r.radix, r.gbit_per_s, r.oversubscription, f.bisection_bytes_per_s * 8 / 1e12);
  const size_t leaf = tiers.size() - 2;
  // Links first, boxes over them.
  if (f.cores > 0) Links(svg, tiers[1], tiers[0], fmt::format("{} cables", f.core_cables));
  if (f.spines > 0)
    Links(svg, tiers[leaf], tiers[leaf - 1], fmt::format("{} cables", f.spine_cables));
  const Tier &leaves = tiers[leaf], &nodes = tiers[leaf + 1];
  // A node's k-th NIC goes to a leaf of rail k; leaf i is of rail i mod nics.
  for (size_t i = 0; i < nodes.x.size(); ++i) {
    if (!Shown(nodes, i)) continue;
    const int node = i + 1 == nodes.x.size() ? nodes.count - 1 : static_cast<int>(i);
    const int group = f.nodes_per_leaf > 0 ? node / f.nodes_per_leaf : 0;
    for (size_t j = 0; j < leaves.x.size(); ++j) {
      if (!Shown(leaves, j)) continue;
      const int number = j + 1 == leaves.x.size() ? leaves.count - 1 : static_cast<int>(j);
      if (number / std::max(1, r.nics) != group && f.leaves > r.nics) continue;
      svg += fmt::format(
          "<path d=\"M{:.1f} {:.1f}L{:.1f} {:.1f}\" stroke=\"{}\" stroke-width=\"1.1\" "
          "opacity=\".8\"/>\n",
          nodes.x[i], nodes.y, leaves.x[j], leaves.y + kHigh, kRails[number % r.nics % 8]);
    }
  }
  svg += fmt::format("<text x=\"16\" y=\"{:.1f}\" class=\"s\">{} cables</text>\n",
                     (nodes.y + leaves.y + kHigh) / 2 + 4, f.node_cables);
  for (const Tier& t : tiers) Boxes(svg, t);
  std::string note =
      fmt::format("{} leaves per rail, {} nodes and {} uplinks each; colours are rails",
                  f.leaves_per_rail, f.nodes_per_leaf, f.uplinks_per_leaf);
  if (f.tiers == 1)
    note = f.leaves == 1
               ? "one switch joins every NIC"
               : "one switch per rail: rails meet only inside the nodes; colours are rails";
  svg += fmt::format(
      "<text x=\"16\" y=\"{:.1f}\" class=\"s\">{}. {} switches, {} cables, {} "
      "transceivers.{}</text>\n",
      nodes.y + kHigh + 38, note, f.switches(), f.cables(), f.optics,
      f.leaves > kMaxDrawn || r.nodes > kMaxDrawn ? " Not all are drawn." : "");
  return svg + "</svg>\n";
}

}  // namespace weir::blueprint
