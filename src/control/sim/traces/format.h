// What a trace format is: which columns, and how one row becomes a Job, Demand, NodeRow or SpotRun.
//
// A format is one file with one `const Format` and one line in formats.cc. Its row function sees
// the columns that it named, in that order, as text; what it returns as an error counts as a
// malformed row under that reason.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/sim/traces/trace.h"

namespace weir::sim {

struct Column {
  std::string_view name;
  bool required = true;
};

// One row's columns, by their place in Format::columns. Numbers: decimal, finite, no blanks.
class Row {
 public:
  explicit Row(const std::vector<Column>& columns) : columns_(columns), cells_(columns.size()) {}
  std::string_view Text(size_t column) const { return cells_[column]; }
  bool Has(size_t column) const { return !cells_[column].empty(); }
  Result<double> Number(size_t column, double low, double high) const;
  Result<int64_t> Integer(size_t column, int64_t low, int64_t high) const;
  Result<Duration> Seconds(size_t column, double scale = 1) const;  // 0..kMaxTraceSeconds
  Error Bad(size_t column, std::string_view expected) const;
  void Set(size_t column, std::string_view text) { cells_[column] = text; }

 private:
  const std::vector<Column>& columns_;
  std::vector<std::string_view> cells_;
};

// Where a row function puts what it read. At most one Add... or Skip for each row.
class RowSink {
 public:
  RowSink(Trace* trace, ReadReport* report, std::string source)
      : trace_(trace), report_(report), source_(std::move(source)) {}
  void Add(Job job);
  // Requests/s of rows with the same service and time are added up, tokens by weight.
  void Add(Demand demand);
  void Add(NodeRow node);
  void Add(SpotRun run);
  // A single request at an instant: counted into windows of kRequestWindow.
  void AddRequest(Duration at, double tokens_in, double tokens_out);
  void Skip(std::string_view reason);                    // "asks for no accelerator"
  const std::string& source() const { return source_; }  // the file's name without its endings

  // Times are in order within a series; most files are one series, a client-by-client file has one
  // for each client.
  void BeginSeries(std::string_view name);
  void NoteTime(Duration at, int64_t line);
  void Finish();  // windows of requests become rows

 private:
  Trace* trace_;
  ReadReport* report_;
  std::string source_;
  std::string series_;
  std::map<std::string, Duration> newest_;  // by series
  struct Window {
    double requests = 0, tokens_in = 0, tokens_out = 0;
  };
  std::map<int64_t, Window> windows_;
  Duration last_request_;
};
inline constexpr Duration kRequestWindow = Duration::Seconds(60);

struct Format {
  std::string_view name;
  std::string_view what;  // a sentence for docs and --help
  char delimiter = ',';   // ' ' = any run of blanks
  bool header = true;     // false: columns are by place, and `matches` decides
  char comment = '\0';    // lines that begin with it are not rows
  std::vector<Column> columns;
  Status (*row)(const Row& row, RowSink* sink) = nullptr;
  // Without a header: whether the first line that is no comment could be this format's.
  bool (*matches)(std::string_view first_line) = nullptr;
};

// All known formats, in the order in which they are tried.
const std::vector<const Format*>& Formats();
const Format* FindFormat(std::string_view name);
// The table for docs/formats.md.
std::string FormatsMarkdown();

// Splits one line. CSV quoting as in RFC 4180 ("" is a quote); `scratch` holds unquoted text.
// False: a quote that does not close.
bool SplitLine(std::string_view line, char delimiter, std::vector<std::string_view>* cells,
               std::vector<std::string>* scratch);

// "2020-09-01T00:00:05" and "2020-09-01 00:00:05" as seconds since 1970, taken as UTC.
std::optional<int64_t> ParseCivil(std::string_view text);

}  // namespace weir::sim
