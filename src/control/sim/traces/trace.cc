#include "control/sim/traces/trace.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>

#include "base/nearest.h"
#include "control/sim/traces/format.h"

namespace weir::sim {

// ---- cells ----

Error Row::Bad(size_t column, std::string_view expected) const {
  const std::string_view got = cells_[column].substr(0, 40);
  return Error(Code::kInvalidArgument,
               got.empty()
                   ? fmt::format("{} is empty", columns_[column].name)
                   : fmt::format("{} is \"{}\", not {}", columns_[column].name, got, expected));
}

Result<double> Row::Number(size_t column, double low, double high) const {
  const std::string_view text = cells_[column];
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value))
    return Bad(column, "a number");
  if (value < low || value > high) return Bad(column, fmt::format("in {}..{}", low, high));
  return value;
}

Result<int64_t> Row::Integer(size_t column, int64_t low, int64_t high) const {
  const double value = TRY(Number(column, static_cast<double>(low), static_cast<double>(high)));
  if (value != std::floor(value)) return Bad(column, "a whole number");
  return static_cast<int64_t>(value);
}

Result<Duration> Row::Seconds(size_t column, double scale) const {
  const double value = TRY(Number(column, 0, kMaxTraceSeconds / scale));
  return Duration{std::llround(value * scale * 1e6)};
}

bool SplitLine(std::string_view line, char delimiter, std::vector<std::string_view>* cells,
               std::vector<std::string>* scratch) {
  cells->clear();
  scratch->clear();
  if (delimiter == ' ') {
    for (size_t at = 0; at < line.size();) {
      const size_t begin = line.find_first_not_of(" \t", at);
      if (begin == std::string_view::npos) break;
      at = std::min(line.find_first_of(" \t", begin), line.size());
      cells->push_back(line.substr(begin, at - begin));
    }
    return true;
  }
  // Text that had "" in it is kept in scratch, which must not move while cells point into it.
  scratch->reserve(static_cast<size_t>(std::count(line.begin(), line.end(), delimiter)) + 1);
  size_t at = 0;
  while (true) {
    if (delimiter == ',' && at < line.size() && line[at] == '"') {
      std::string text;
      size_t i = at + 1;
      for (;; ++i) {
        if (i >= line.size()) return false;
        if (line[i] != '"') {
          text += line[i];
        } else if (i + 1 < line.size() && line[i + 1] == '"') {
          text += '"';
          ++i;
        } else {
          break;
        }
      }
      scratch->push_back(std::move(text));
      cells->push_back(scratch->back());
      at = i + 1;
      if (at < line.size() && line[at] != delimiter) return false;
    } else {
      const size_t stop = std::min(line.find(delimiter, at), line.size());
      cells->push_back(line.substr(at, stop - at));
      at = stop;
    }
    if (at >= line.size()) return true;
    ++at;
    if (at == line.size()) {
      cells->push_back({});
      return true;
    }
  }
}

std::optional<int64_t> ParseCivil(std::string_view text) {
  int64_t part[6];
  const size_t at[6] = {0, 5, 8, 11, 14, 17}, length[6] = {4, 2, 2, 2, 2, 2};
  if (text.size() != 19 || text[4] != '-' || text[7] != '-' ||
      (text[10] != 'T' && text[10] != ' ') || text[13] != ':' || text[16] != ':')
    return std::nullopt;
  for (int i = 0; i < 6; ++i) {
    const char* from = text.data() + at[i];
    const auto [end, error] = std::from_chars(from, from + length[i], part[i]);
    if (error != std::errc() || end != from + length[i] || part[i] < 0) return std::nullopt;
  }
  if (part[1] < 1 || part[1] > 12 || part[2] < 1 || part[2] > 31 || part[3] > 23 || part[4] > 59 ||
      part[5] > 60)
    return std::nullopt;
  // Days since 1970 of a civil date: Hinnant, "chrono-Compatible Low-Level Date Algorithms".
  const int64_t year = part[0] - (part[1] <= 2 ? 1 : 0);
  const int64_t era = year / 400, of_era = year - era * 400;
  const int64_t of_year = (153 * (part[1] + (part[1] > 2 ? -3 : 9)) + 2) / 5 + part[2] - 1;
  const int64_t days = era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
  return days * 86400 + part[3] * 3600 + part[4] * 60 + part[5];
}

// ---- rows ----

void RowSink::Add(Job job) {
  trace_->jobs.push_back(std::move(job));
  ++report_->rows;
}
void RowSink::Add(Demand demand) {
  if (demand.service.empty()) demand.service = source_;
  trace_->demands.push_back(std::move(demand));
  ++report_->rows;
}
void RowSink::Add(NodeRow node) {
  trace_->nodes.push_back(std::move(node));
  ++report_->rows;
}
void RowSink::Add(SpotRun run) {
  trace_->spot.push_back(std::move(run));
  ++report_->rows;
}
void RowSink::AddRequest(Duration at, double tokens_in, double tokens_out) {
  Window& w = windows_[at.us / kRequestWindow.us];
  w.requests += 1;
  w.tokens_in += tokens_in;
  w.tokens_out += tokens_out;
  last_request_ = std::max(last_request_, at);
  ++report_->rows;
}
void RowSink::Skip(std::string_view reason) { ++report_->skipped[std::string(reason)]; }

void RowSink::BeginSeries(std::string_view name) { series_ = name; }

void RowSink::NoteTime(Duration at, int64_t line) {
  const auto [newest, first] = newest_.try_emplace(series_, at);
  if (!first && at < newest->second && report_->backwards++ == 0)
    report_->first_backwards_line = line;
  newest->second = std::max(newest->second, at);
}

void RowSink::Finish() {
  for (auto it = windows_.begin(); it != windows_.end(); ++it) {
    const auto next = std::next(it);
    const Duration begin = kRequestWindow * it->first;
    // The last window may be cut off by the end of the trace: its rate is of the part it has.
    const double length = next == windows_.end() && windows_.size() > 1
                              ? std::max(1.0, (last_request_ - begin).seconds())
                              : kRequestWindow.seconds();
    const Window& w = it->second;
    trace_->demands.push_back(
        {begin, source_, w.requests / length, w.tokens_in / w.requests, w.tokens_out / w.requests});
    // A gap, however long, is one row of nothing.
    if (next != windows_.end() && next->first > it->first + 1)
      trace_->demands.push_back({begin + kRequestWindow, source_, 0, 0, 0});
  }
}

std::vector<std::string> ReadReport::Notes() const {
  std::vector<std::string> notes;
  if (bad > 0) {
    std::string text =
        fmt::format("{}: {} malformed row{} left out: ", file, bad, bad == 1 ? "" : "s");
    for (size_t i = 0; i < first_bad.size(); ++i) {
      text +=
          fmt::format("{}line {}: {}", i == 0 ? "" : "; ", first_bad[i].line, first_bad[i].reason);
    }
    if (bad > static_cast<int64_t>(first_bad.size())) text += "; ...";
    notes.push_back(std::move(text));
  }
  for (const auto& [reason, count] : skipped)
    notes.push_back(
        fmt::format("{}: {} row{} skipped: {}", file, count, count == 1 ? "" : "s", reason));
  if (backwards > 0) {
    notes.push_back(
        fmt::format("{}: time runs backwards in {} row{}, first on line {}: the rows were sorted",
                    file, backwards, backwards == 1 ? "" : "s", first_backwards_line));
  }
  return notes;
}

// ---- reading ----

namespace {

std::string SourceOf(const std::string& path) {
  std::string name = std::filesystem::path(path).filename().string();
  name = name.substr(0, name.find('.'));
  for (const std::string_view ending : {"_total", "_client_rates", "_requests"}) {
    if (name.size() > ending.size() && name.ends_with(ending))
      name.resize(name.size() - ending.size());
  }
  return name.empty() ? "service" : name;
}

// Places of the format's columns in a header line; nullopt if a required one is missing.
std::optional<std::vector<int>> PlacesOf(const Format& format,
                                         const std::vector<std::string_view>& names) {
  std::vector<int> places;
  for (const Column& column : format.columns) {
    const auto it = std::find(names.begin(), names.end(), column.name);
    if (it == names.end() && column.required) return std::nullopt;
    places.push_back(it == names.end() ? -1 : static_cast<int>(it - names.begin()));
  }
  return places;
}

std::optional<std::vector<int>> Match(const Format& format, std::string_view first_line) {
  std::vector<std::string_view> cells;
  std::vector<std::string> scratch;
  if (!format.header) {
    if (!format.matches(first_line)) return std::nullopt;
    std::vector<int> places;
    for (size_t i = 0; i < format.columns.size(); ++i) places.push_back(static_cast<int>(i));
    return places;
  }
  if (!SplitLine(first_line, format.delimiter, &cells, &scratch)) return std::nullopt;
  return PlacesOf(format, cells);
}

Error NoFormat(const std::string& file, std::string_view first_line) {
  std::string names;
  for (const Format* format : Formats())
    names += fmt::format("{}{}", names.empty() ? "" : ", ", format->name);
  std::string shown(first_line.substr(0, 80));
  for (char& c : shown) {
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f) c = '?';
  }
  return Error(Code::kInvalidArgument,
               fmt::format("{}: no known trace format begins with \"{}\"", file, shown))
      .Hint(fmt::format("known: {}; docs/formats.md has a CSV that you can write", names));
}

void AddUp(std::vector<Demand>* demands) {
  std::stable_sort(demands->begin(), demands->end(), [](const Demand& a, const Demand& b) {
    return a.service != b.service ? a.service < b.service : a.at < b.at;
  });
  size_t kept = 0;
  for (size_t i = 0; i < demands->size(); ++i) {
    Demand& d = (*demands)[i];
    if (kept > 0 && (*demands)[kept - 1].service == d.service && (*demands)[kept - 1].at == d.at) {
      Demand& sum = (*demands)[kept - 1];
      const double rate = sum.requests_per_s + d.requests_per_s;
      if (rate > 0) {
        sum.tokens_in =
            (sum.tokens_in * sum.requests_per_s + d.tokens_in * d.requests_per_s) / rate;
        sum.tokens_out =
            (sum.tokens_out * sum.requests_per_s + d.tokens_out * d.requests_per_s) / rate;
      }
      sum.requests_per_s = rate;
    } else {
      if (kept != i) (*demands)[kept] = std::move(d);
      ++kept;
    }
  }
  demands->resize(kept);
}

}  // namespace

Status ReadTrace(io::LineReader reader, const ReadOptions& options, Trace* trace) {
  ReadReport report;
  report.file = reader.name();
  const Format* format = nullptr;
  if (!options.format.empty()) {
    format = FindFormat(options.format);
    if (format == nullptr) {
      std::vector<std::string> names;
      for (const Format* f : Formats()) names.emplace_back(f->name);
      const std::string nearest = NearestOf(options.format, names);
      return Error(Code::kInvalidArgument,
                   fmt::format("\"{}\" is not a trace format", options.format))
          .Hint(nearest.empty() ? fmt::format("known: {}", fmt::join(names, ", "))
                                : fmt::format("did you mean {}?", nearest));
    }
  }

  // The first line that is neither blank nor a comment tells the format.
  std::string_view line;
  std::optional<std::vector<int>> places;
  std::string first;
  bool commented = false;
  while (TRY(reader.Next(&line))) {
    const size_t begin = line.find_first_not_of(" \t");
    if (begin == std::string_view::npos) continue;
    if (line[begin] == ';') {
      commented = true;
      continue;
    }
    first = line;
    break;
  }
  if (first.empty()) {
    return Error(Code::kFailedPrecondition, fmt::format("{}: holds no rows", report.file));
  }
  if (format != nullptr) {
    places = Match(*format, first);
    if (!places && format->header) {
      std::vector<std::string_view> cells;
      std::vector<std::string> scratch;
      SplitLine(first, format->delimiter, &cells, &scratch);
      std::string missing;
      for (const Column& column : format->columns) {
        if (column.required && std::find(cells.begin(), cells.end(), column.name) == cells.end())
          missing += fmt::format("{}{}", missing.empty() ? "" : ", ", column.name);
      }
      return Error(Code::kInvalidArgument,
                   fmt::format("{}: format {} needs a first line with the column{} {}", report.file,
                               format->name, missing.find(',') == std::string::npos ? "" : "s",
                               missing))
          .Hint("leave the format away to have it told by the first line");
    }
  } else {
    for (const Format* candidate : Formats()) {
      if (commented && candidate->comment == '\0') continue;
      places = Match(*candidate, first);
      if (places) {
        format = candidate;
        break;
      }
    }
  }
  if (!places) return NoFormat(report.file, first);
  report.format = format->name;

  RowSink sink(trace, &report, options.service.empty() ? SourceOf(report.file) : options.service);
  Row row(format->columns);
  std::vector<std::string_view> cells;
  std::vector<std::string> scratch;
  const size_t jobs_before = trace->jobs.size(), spot_before = trace->spot.size();
  bool have = !format->header;  // the first line is a row already
  line = first;
  while (have || TRY(reader.Next(&line))) {
    have = false;
    if (line.find_first_not_of(" \t") == std::string_view::npos) continue;
    if (format->comment != '\0' && line[line.find_first_not_of(" \t")] == format->comment) continue;
    if (report.rows + report.bad >= kMaxTraceRows) {
      return Error(Code::kTooLarge,
                   fmt::format("{}: more than {} rows", report.file, kMaxTraceRows))
          .Hint("cut the trace into pieces");
    }
    const auto read = [&]() -> Status {
      if (!SplitLine(line, format->delimiter, &cells, &scratch))
        return Error(Code::kInvalidArgument, "a quote does not close");
      for (size_t i = 0; i < places->size(); ++i) {
        const int place = (*places)[i];
        const bool there = place >= 0 && static_cast<size_t>(place) < cells.size();
        if (!there && format->columns[i].required) {
          return Error(Code::kInvalidArgument, fmt::format("has {} columns; {} is missing",
                                                           cells.size(), format->columns[i].name));
        }
        row.Set(i, there ? cells[static_cast<size_t>(place)] : std::string_view());
      }
      const size_t jobs = trace->jobs.size(), demands = trace->demands.size(),
                   spot = trace->spot.size();
      const int64_t backwards = report.backwards;
      TRY(format->row(row, &sink));
      const int64_t number = reader.line_number();
      if (trace->jobs.size() > jobs) sink.NoteTime(trace->jobs.back().submit, number);
      if (trace->demands.size() > demands) sink.NoteTime(trace->demands.back().at, number);
      if (trace->spot.size() > spot) {
        sink.BeginSeries(trace->spot.back().zone);
        sink.NoteTime(trace->spot.back().at, number);
      }
      if (report.backwards > backwards && options.strict)
        return Error(Code::kInvalidArgument, "time runs backwards");
      return {};
    };
    if (const Status status = read(); !status) {
      if (options.strict) {
        return Error(Code::kInvalidArgument,
                     fmt::format("{}: line {}: {}", report.file, reader.line_number(),
                                 status.error().message()))
            .Hint("without --strict such rows are counted and left out, or sorted");
      }
      ++report.bad;
      if (report.first_bad.size() < kBadRowsNamed)
        report.first_bad.push_back({reader.line_number(), status.error().message()});
    }
  }
  sink.Finish();
  if (report.rows == 0) {
    const std::vector<std::string> notes = report.Notes();
    return Error(Code::kFailedPrecondition, notes.empty()
                                                ? fmt::format("{}: holds no rows", report.file)
                                                : fmt::format("{}: not one usable row: {}",
                                                              report.file, fmt::join(notes, "; ")))
        .Hint(fmt::format("it was read as {}; docs/formats.md says what that looks like",
                          format->name));
  }
  std::stable_sort(trace->jobs.begin() + static_cast<std::ptrdiff_t>(jobs_before),
                   trace->jobs.end(),
                   [](const Job& a, const Job& b) { return a.submit < b.submit; });
  if (jobs_before > 0) {
    std::inplace_merge(
        trace->jobs.begin(), trace->jobs.begin() + static_cast<std::ptrdiff_t>(jobs_before),
        trace->jobs.end(), [](const Job& a, const Job& b) { return a.submit < b.submit; });
  }
  std::stable_sort(trace->spot.begin() + static_cast<std::ptrdiff_t>(spot_before),
                   trace->spot.end(), [](const SpotRun& a, const SpotRun& b) {
                     return a.zone != b.zone ? a.zone < b.zone : a.at < b.at;
                   });
  AddUp(&trace->demands);
  trace->reports.push_back(std::move(report));
  return {};
}

Status ReadTrace(const std::string& path, const ReadOptions& options, Trace* trace) {
  return ReadTrace(TRY(io::LineReader::Open(path)), options, trace);
}

}  // namespace weir::sim
