// The engines of a service, added up: what each replica's /metrics says (engine/serve/metrics.h)
// as one wire::EngineView. A replica that is no Weir engine adds nothing.
// Threads: AddEngineText is pure; AskEngines blocks, a second for each replica and three for all at
// most: replicas that were not asked by then are left out, `replicas` says how many told.
#pragma once

#include <string_view>

#include "wire/view.h"

namespace weir::gateway {

// Adds one replica's text in the Prometheus format to `sum`. False when it has no engine's numbers.
bool AddEngineText(std::string_view text, wire::EngineView& sum);

// Asks every replica of the service that is ready.
wire::EngineView AskEngines(const wire::LabView& view, const wire::Service& service);

}  // namespace weir::gateway
