// The answer to `weir why`: how it stands, what the newest decision said about it, and the
// journal's records on it.
#pragma once

#include <string>

#include "base/result.h"
#include "control/state.h"
#include "io/store.h"
#include "lab/sched/decide.h"
#include "wire/view.h"

namespace weir::control {

inline constexpr int64_t kWhyRecordsRead = 50'000;  // the newest so many records are looked at
inline constexpr size_t kWhyRecordsShown = 100;     // of which the newest so many are shown

// kind: job, service or loan. Everything but blockers and history.
Result<wire::WhyView> WhyNow(const State& state, const std::string& kind, const std::string& which,
                             Time now);
void Explain(const sched::Explanation& explanation, wire::WhyView& view);
Status AddHistory(io::Store& store, int64_t last_seq, wire::WhyView& view);

}  // namespace weir::control
