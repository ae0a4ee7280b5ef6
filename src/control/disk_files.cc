#include "control/disk_files.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "control/drivers/progress_reader.h"
#include "io/files.h"

namespace weir::control {

Result<wire::Json> DiskFiles::Manifest(const std::string& folder) {
  return wire::ParseJson(TRY(io::ReadFile(folder + "/manifest.json", kManifestBytes)));
}

Result<std::vector<wire::Json>> DiskFiles::ProgressLines(const std::string& path,
                                                         int64_t max_bytes) {
  const int64_t size = TRY(io::FileSize(path));
  const int64_t from = std::max<int64_t>(0, size - max_bytes);
  const std::string text = TRY(io::ReadFileAt(path, from, max_bytes));
  std::vector<wire::Json> lines;
  // Begun in the middle: up to the first line end is a part of a line. Behind the last one too.
  size_t at = from == 0 ? 0 : text.find('\n');
  if (at == std::string::npos) return lines;
  if (from != 0) ++at;
  for (size_t end; (end = text.find('\n', at)) != std::string::npos; at = end + 1) {
    if (auto line = ParseProgressLine(std::string_view(text).substr(at, end - at)))
      lines.push_back(*std::move(line));
  }
  return lines;
}

Status DiskFiles::Keep(const std::string& folder, const std::string& to) {
  if (io::FileExists(to)) return {};
  const std::string parent = std::filesystem::path(to).parent_path().string();
  const std::string temporary = to + ".part";
  TRY(io::MakeDirs(parent));
  TRY(io::RemoveTree(temporary));
  TRY(io::MakeDirs(temporary));
  for (const io::DirEntry& entry : TRY(io::ListDir(folder))) {
    if (entry.is_dir) continue;
    const std::string source = folder + "/" + entry.name, target = temporary + "/" + entry.name;
    if (link(source.c_str(), target.c_str()) == 0) continue;
    if (errno == ENOENT) return io::ErrnoError(errno, "cannot keep", source);
    std::error_code error;
    std::filesystem::copy_file(source, target, error);
    if (error) return io::ErrnoError(error.value(), "cannot copy", source);
  }
  TRY(io::SyncDir(temporary));
  if (rename(temporary.c_str(), to.c_str()) != 0)
    return io::ErrnoError(errno, "cannot rename", temporary);
  return io::SyncDir(parent);
}

}  // namespace weir::control
