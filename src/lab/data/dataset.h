// A dataset: text taken from files and folders, in a folder of its own, named by its content.
//
//   OUT/text.txt        UTF-8, the documents one after another, a blank line between them
//   OUT/files.tsv       one line per file looked at: "taken <bytes>" or "dropped <reason>", and
//   path OUT/manifest.json   {"format":"weir-dataset-1","sha256":of
//   text.txt,"bytes":..,"report":{..}}
//
// What is done to the text: decompressed, decoded (text.h), man pages freed of troff, carriage
// returns and trailing blanks taken off, lines longer than kMaxLineBytes dropped, every line that
// was seen before dropped (the first occurrence stays), runs of blank lines made one.
// Order: by a hash of the path, so that a byte limit takes a fair part of every folder, and the
// same files always give the same bytes and the same sha256.
//
// Errors    kNotFound, kPermissionDenied for a path given that cannot be read; kInvalidArgument
//           when nothing in them is text. A single file below a folder that cannot be read is
//           dropped and counted.
// Files     OUT appears whole, by rename, or not at all. If it is there already and its manifest
//           names the same sha256, that is a success.
// Memory    the text (at most max_bytes) and 8 bytes a line.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "wire/schema.h"

namespace weir::data {

inline constexpr size_t kMaxLineBytes = 2000;

struct BuildOptions {
  std::vector<std::string> paths;
  std::string out;
  int64_t max_bytes = int64_t{1} << 30;        // of text.txt
  int64_t max_file_bytes = int64_t{64} << 20;  // larger files are dropped, decompressed size counts
};

struct Report {
  int64_t files_seen = 0;
  int64_t files_taken = 0;
  std::map<std::string, int64_t> files_dropped;  // by reason
  int64_t bytes_read = 0;
  int64_t bytes_taken = 0;
  int64_t lines_seen = 0;
  int64_t lines_taken = 0;
  std::map<std::string, int64_t> lines_dropped;  // by reason: duplicate, too long
};
template <class V>
void Fields(V& v, wire::Owned<V, Report>& r) {
  v("files_seen", r.files_seen);
  v("files_taken", r.files_taken);
  v("files_dropped", r.files_dropped, "by reason");
  v("bytes_read", r.bytes_read, "from disk, compressed where it was");
  v("bytes_taken", r.bytes_taken);
  v("lines_seen", r.lines_seen);
  v("lines_taken", r.lines_taken);
  v("lines_dropped", r.lines_dropped, "by reason");
}

struct Manifest {
  std::string format = "weir-dataset-1";
  std::string sha256;
  int64_t bytes = 0;
  Report report;
};
template <class V>
void Fields(V& v, wire::Owned<V, Manifest>& m) {
  v("format", m.format, "", wire::kRequired);
  v("sha256", m.sha256, "of text.txt", wire::kRequired);
  v("bytes", m.bytes, "of text.txt", wire::kRequired);
  v("report", m.report);
}

using ProgressFn = std::function<void(const Report&)>;  // about every 500 files; may be empty

Result<Manifest> Build(const BuildOptions& options, const ProgressFn& progress);

// Reads OUT/manifest.json. kDataLoss when it does not hold what it should.
Result<Manifest> ReadManifest(const std::string& out);

// The documentation on every Debian machine: licences, man pages, changelogs, READMEs.
std::vector<std::string> DebianDocPaths();

}  // namespace weir::data

WEIR_MESSAGE(weir::data::Report);
WEIR_MESSAGE(weir::data::Manifest);
