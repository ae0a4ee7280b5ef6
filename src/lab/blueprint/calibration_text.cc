// The calibration as text: TOML for people to read and review, and the rows with their residuals as
// CSV beside it.
#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <cmath>

#include "base/csv.h"
#include "lab/blueprint/calibration.h"

namespace weir::blueprint {

std::string ToToml(const Calibration& c) {
  std::string out =
      "# Written by `weir blueprint calibrate`. What each knob means stands beside it; an offset "
      "is a\n"
      "# factor on the value for rows with that key. Bands are the tenth and ninetieth percentiles "
      "of\n"
      "# log(measured / predicted) on rows that the fit had not seen (docs/blueprint.md).\n";
  for (const KnobInfo& k : KnobTable()) {
    out += fmt::format("\n[knobs.{}]\nvalue = {:.5g}\nprior = {:.5g}\nmeaning = \"{}\"\n", k.name,
                       std::exp(c.knobs.log_base[k.knob]), k.prior, k.meaning);
    bool any = false;
    for (const auto& [key, offsets] : c.knobs.offsets) {
      const auto it = offsets.find(k.knob);
      if (it == offsets.end() || std::abs(it->second) < 5e-4) continue;
      if (!any) out += fmt::format("[knobs.{}.offsets]\n", k.name);
      any = true;
      out += fmt::format("\"{}\" = {:.4f}\n", key, std::exp(it->second));
    }
  }
  out += "\n[bands]\n";
  for (const auto& [name, b] : c.bands)
    out +=
        fmt::format("\"{}\" = {{ low = {:.4f}, high = {:.4f}, rows = {}, mean_error = {:.4f} }}\n",
                    name, b.low, b.high, b.rows, b.mean_error);
  return out;
}

std::string RowsToCsv(const Calibration& c) {
  std::string out =
      "quantity,table,model,accelerator,engine,release,config,measured,fitted,held_out,new_model,"
      "place\n";
  for (const KnownRow& r : c.rows) {
    std::string place;
    for (const double p : r.place) place += fmt::format("{}{:.4g}", place.empty() ? "" : " ", p);
    out += fmt::format("{},{},{},{},{},{},{},{:.5g},{:.5g},{:.5g},{:.5g},{}\n", CsvCell(r.quantity),
                       CsvCell(r.table), CsvCell(r.model), CsvCell(r.accelerator),
                       CsvCell(r.engine), CsvCell(r.release), CsvCell(r.config), r.measured,
                       r.fitted, r.held_out, r.new_model, place);
  }
  return out;
}

Result<Calibration> FromText(std::string_view text, std::string_view rows_csv) {
  Calibration out;
  toml::table root;
  try {
    root = toml::parse(text, std::string_view("calibration"));
  } catch (const toml::parse_error& e) {
    return Error(Code::kInvalidArgument,
                 fmt::format("calibration, line {}: {}", e.source().begin.line, e.description()))
        .Hint("write it anew with `weir blueprint calibrate`");
  }
  const auto bad = [](std::string what) {
    return Error(Code::kInvalidArgument, "calibration: " + what)
        .Hint("write it anew with `weir blueprint calibrate`");
  };
  if (const toml::table* knobs = root["knobs"].as_table()) {
    for (const auto& [name, node] : *knobs) {
      const KnobInfo* info = nullptr;
      for (const KnobInfo& k : KnobTable())
        if (k.name == name.str()) info = &k;
      if (info == nullptr) return bad(fmt::format("knob \"{}\" is not known", name.str()));
      const toml::table* t = node.as_table();
      if (t == nullptr) return bad(fmt::format("knob \"{}\" is no table", name.str()));
      const double value = (*t)["value"].value_or(info->prior);
      if (!(value > 0) || !std::isfinite(value))
        return bad(fmt::format("{} = {}; it must be above zero", name.str(), value));
      out.knobs.log_base[info->knob] = std::log(value);
      if (const toml::table* offsets = (*t)["offsets"].as_table()) {
        for (const auto& [key, factor] : *offsets) {
          const double f = factor.value_or(0.0);
          if (!(f > 0) || !std::isfinite(f))
            return bad(
                fmt::format("offset \"{}\" of {} must be above zero", key.str(), name.str()));
          out.knobs.offsets[std::string(key.str())][info->knob] = std::log(f);
        }
      }
    }
  }
  if (const toml::table* bands = root["bands"].as_table()) {
    for (const auto& [name, node] : *bands) {
      const toml::table* t = node.as_table();
      if (t == nullptr) return bad(fmt::format("band \"{}\" is no table", name.str()));
      Band b;
      b.low = (*t)["low"].value_or(b.low);
      b.high = (*t)["high"].value_or(b.high);
      b.rows = (*t)["rows"].value_or(0);
      b.mean_error = (*t)["mean_error"].value_or(0.0);
      if (!(b.low <= b.high)) return bad(fmt::format("band \"{}\": low is above high", name.str()));
      out.bands[std::string(name.str())] = b;
    }
  }
  if (rows_csv.empty()) return out;
  const CsvTable t = TRY(CsvTable::Parse(rows_csv));
  for (size_t i = 0; i < t.size(); ++i) {
    KnownRow r;
    r.quantity = t.Cell(i, "quantity");
    r.table = t.Cell(i, "table");
    r.model = t.Cell(i, "model");
    r.plain_model = PlainName(r.model);
    r.accelerator = t.Cell(i, "accelerator");
    r.engine = t.Cell(i, "engine");
    r.release = t.Cell(i, "release");
    r.config = t.Cell(i, "config");
    r.measured = TRY(t.Positive(i, "measured"));
    r.fitted = TRY(t.Positive(i, "fitted"));
    r.held_out = TRY(t.Positive(i, "held_out"));
    r.new_model = TRY(t.Positive(i, "new_model"));
    const std::string& place = t.Cell(i, "place");
    const char* at = place.c_str();
    for (double& p : r.place) {
      char* end = nullptr;
      p = std::strtod(at, &end);
      at = end;
    }
    out.rows.push_back(std::move(r));
  }
  return out;
}

}  // namespace weir::blueprint
