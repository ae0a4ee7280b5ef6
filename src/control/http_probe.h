// HealthProbe over HTTP: GET of the health path, 200 is healthy, anything else and silence are not.
// One event loop on a thread of its own serves all probes.
#pragma once

#include <memory>

#include "control/ports.h"

namespace weir::control {

class HttpProbe final : public HealthProbe {
 public:
  HttpProbe();
  ~HttpProbe() override;  // probes under way come to nothing
  void Start(const ProbeTarget& target) override;
  std::vector<ProbeResult> Take() override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::control
