// LabFiles on the real disk. Threads: any. Bounds: a manifest of at most kManifestBytes.
#pragma once

#include "control/ports.h"

namespace weir::control {

inline constexpr int64_t kManifestBytes = 4 << 20;

class DiskFiles final : public LabFiles {
 public:
  Result<wire::Json> Manifest(const std::string& folder) override;
  Result<std::vector<wire::Json>> ProgressLines(const std::string& path,
                                                int64_t max_bytes) override;
  // Hard links where the file system has them, copies elsewhere; the folder appears by rename.
  Status Keep(const std::string& folder, const std::string& to) override;
};

}  // namespace weir::control
