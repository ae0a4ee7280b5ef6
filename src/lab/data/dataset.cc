#include "lab/data/dataset.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <string_view>
#include <unordered_set>

#include "io/files.h"
#include "lab/data/text.h"

namespace weir::data {

namespace {

constexpr std::string_view kNotProse[] = {".html", ".htm",  ".css", ".js",  ".json", ".xml",
                                          ".svg",  ".svgz", ".png", ".gif", ".jpg",  ".pdf",
                                          ".ps",   ".map",  ".bz2", ".xz",  ".zst",  ".zip"};
constexpr int kMaxDepth = 32;

// FNV-1a, then a final mix: stable across machines, which std::hash is not.
uint64_t Hash(std::string_view text) {
  uint64_t h = 0xCBF29CE484222325u;
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  h ^= h >> 32;
  h *= 0xD6E8FEB86659FD93u;
  return h ^ (h >> 32);
}

struct Source {
  uint64_t order;
  std::string path;
  bool named;  // given by the user, not found below a folder
};

// Adds `path`, or every regular file below it; links are not followed below a folder.
Status Collect(const std::string& path, bool named, int depth, std::vector<Source>& out) {
  struct stat info;
  const int failed = named ? stat(path.c_str(), &info) : lstat(path.c_str(), &info);
  if (failed) return io::ErrnoError(errno, "cannot read", path);
  if (S_ISREG(info.st_mode)) {
    out.push_back({Hash(path), path, named});
    return {};
  }
  if (!S_ISDIR(info.st_mode) || depth > kMaxDepth) return {};
  Result<std::vector<io::DirEntry>> entries = io::ListDir(path);
  if (!entries) {
    if (named) return std::move(entries).error();
    return {};
  }
  for (const io::DirEntry& entry : *entries) {
    const Status below = Collect(path + "/" + entry.name, false, depth + 1, out);
    (void)below;  // vanished or unreadable below a folder: nothing to take
  }
  return {};
}

std::string_view Extension(std::string_view path) {
  if (path.ends_with(".gz")) path.remove_suffix(3);
  const size_t dot = path.rfind('.');
  return dot == std::string_view::npos || path.find('/', dot) != std::string_view::npos
             ? ""
             : path.substr(dot);
}

// The text of one file, or why it is dropped. Errors' messages up to the first ':' are the reason.
Result<std::string> TextOf(const Source& source, const BuildOptions& options, Report& report) {
  if (!source.named) {
    const std::string_view extension = Extension(source.path);
    for (const std::string_view e : kNotProse) {
      if (extension == e) return Error(Code::kInvalidArgument, "not prose: " + std::string(e));
    }
  }
  Result<std::string> bytes = io::ReadFile(source.path, options.max_file_bytes);
  if (!bytes) {
    return Error(bytes.error().code(), bytes.error().code() == Code::kTooLarge
                                           ? "too large: over the limit of one file"
                                           : "unreadable: " + bytes.error().message());
  }
  report.bytes_read += static_cast<int64_t>(bytes->size());
  if (IsGzip(*bytes)) {
    bytes = Gunzip(*bytes, options.max_file_bytes);
    if (!bytes) {
      return Error(Code::kDataLoss, bytes.error().code() == Code::kTooLarge
                                        ? "too large: once decompressed"
                                        : "damaged: " + bytes.error().message());
    }
  }
  std::string text = TRY(DecodeText(*bytes));
  if (text.empty()) return Error(Code::kInvalidArgument, "empty: no bytes");
  return LooksLikeTroff(text) ? StripTroff(text) : text;
}

// Appends what is new in `text`; returns the bytes added.
int64_t AppendNewLines(std::string_view text, std::unordered_set<uint64_t>& seen, Report& report,
                       std::string& out) {
  const size_t start = out.size();
  bool blank = true;  // the previous line taken was blank
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = text.substr(at, end - at);
    at = end + 1;
    while (!line.empty() && (line.back() == ' ' || line.back() == '\r' || line.back() == '\t' ||
                             line.back() == '\f')) {
      line.remove_suffix(1);
    }
    if (line.empty()) {
      if (!blank) out += '\n';
      blank = true;
      continue;
    }
    ++report.lines_seen;
    if (line.size() > kMaxLineBytes) {
      ++report.lines_dropped["too long"];
    } else if (!seen.insert(Hash(line)).second) {
      ++report.lines_dropped["duplicate"];
    } else {
      ++report.lines_taken;
      out.append(line);
      out += '\n';
      blank = false;
    }
  }
  if (out.size() > start && !blank) out += '\n';
  return static_cast<int64_t>(out.size() - start);
}

}  // namespace

Result<Manifest> Build(const BuildOptions& options, const ProgressFn& progress) {
  if (options.paths.empty()) {
    return Error(Code::kInvalidArgument, "no text given")
        .Hint("name files or folders with --text PATH...");
  }
  std::vector<Source> sources;
  for (const std::string& path : options.paths) TRY(Collect(path, true, 0, sources));
  std::sort(sources.begin(), sources.end(), [](const Source& a, const Source& b) {
    return a.order != b.order ? a.order < b.order : a.path < b.path;
  });
  sources.erase(std::unique(sources.begin(), sources.end(),
                            [](const Source& a, const Source& b) { return a.path == b.path; }),
                sources.end());

  Manifest manifest;
  Report& report = manifest.report;
  std::unordered_set<uint64_t> seen;
  std::string text, files;
  for (const Source& source : sources) {
    ++report.files_seen;
    std::string reason;
    if (static_cast<int64_t>(text.size()) >= options.max_bytes) {
      reason = "over the byte limit";
    } else {
      const Result<std::string> taken = TextOf(source, options, report);
      if (!taken) {
        reason = taken.error().message().substr(0, taken.error().message().find(':'));
      } else {
        const size_t before = text.size();
        const int64_t added = AppendNewLines(*taken, seen, report, text);
        if (added == 0) {
          reason = "nothing new";
        } else if (static_cast<int64_t>(text.size()) > options.max_bytes) {
          // Cut at a line's end, so that no character and no line is halved.
          const size_t cut = text.rfind('\n', static_cast<size_t>(options.max_bytes) - 1);
          text.resize(cut == std::string::npos || cut < before ? before : cut + 1);
          if (text.size() == before) reason = "over the byte limit";
        }
        if (reason.empty()) {
          ++report.files_taken;
          files += fmt::format("taken {}\t{}\n", text.size() - before, source.path);
        }
      }
    }
    if (!reason.empty()) {
      ++report.files_dropped[reason];
      files += fmt::format("dropped {}\t{}\n", reason, source.path);
    }
    if (progress && report.files_seen % 500 == 0) {
      report.bytes_taken = static_cast<int64_t>(text.size());
      progress(report);
    }
  }
  report.bytes_taken = static_cast<int64_t>(text.size());
  if (text.empty()) {
    return Error(Code::kInvalidArgument,
                 fmt::format("no text found in {} file{} under {}", report.files_seen,
                             report.files_seen == 1 ? "" : "s", options.paths.front()))
        .Hint("give text files or folders that hold some");
  }
  manifest.bytes = report.bytes_taken;
  manifest.sha256 = io::Sha256Hex(text);
  if (const Result<Manifest> there = ReadManifest(options.out); there) {
    if (there->sha256 == manifest.sha256) return *there;
    return Error(Code::kAlreadyExists, fmt::format("{} already holds another dataset ({})",
                                                   options.out, there->sha256.substr(0, 12)))
        .Hint("choose another --out, or remove that folder");
  }
  const std::string building = options.out + ".building";
  TRY(io::RemoveTree(building));
  TRY(io::MakeDirs(building));
  TRY(io::WriteFileDurably(building + "/text.txt", text));
  TRY(io::WriteFileDurably(building + "/files.tsv", files));
  TRY(io::WriteFileDurably(building + "/manifest.json", wire::ToJson(manifest).dump(2) + "\n"));
  TRY(io::RemoveTree(options.out));  // what is there has no valid manifest: an interrupted build
  if (rename(building.c_str(), options.out.c_str()) != 0) {
    return io::ErrnoError(errno, "cannot rename to", options.out);
  }
  const size_t slash = options.out.rfind('/');
  TRY(io::SyncDir(slash == std::string::npos ? "."
                                             : options.out.substr(0, std::max<size_t>(slash, 1))));
  return manifest;
}

Result<Manifest> ReadManifest(const std::string& out) {
  const std::string text = TRY(io::ReadFile(out + "/manifest.json", 1 << 20));
  Result<Manifest> manifest = wire::FromText<Manifest>(text);
  if (!manifest) {
    return Error(Code::kDataLoss,
                 fmt::format("{}/manifest.json: {}", out, manifest.error().message()))
        .Hint("build the dataset again");
  }
  if (manifest->format != "weir-dataset-1") {
    return Error(Code::kDataLoss, fmt::format("{}/manifest.json: format \"{}\" is not known", out,
                                              manifest->format));
  }
  return manifest;
}

std::vector<std::string> DebianDocPaths() {
  std::vector<std::string> paths;
  for (const char* path : {"/usr/share/common-licenses", "/usr/share/doc"}) {
    if (io::FileExists(path)) paths.push_back(path);
  }
  // man1..man9 hold the English pages; translations lie beside them in folders of their own.
  for (char section = '1'; section <= '9'; ++section) {
    const std::string path = std::string("/usr/share/man/man") + section;
    if (io::FileExists(path)) paths.push_back(path);
  }
  return paths;
}

}  // namespace weir::data
