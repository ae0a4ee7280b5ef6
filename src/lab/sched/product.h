// The product side of a decision: what its services get, and what they give back.
#pragma once

#include "lab/sched/plan.h"

namespace weir::sched {

// Replicas of services that are retiring; loans that are due, recalled, calm or without a service;
// replicas that calm has made superfluous; replicas beyond what product is guaranteed.
void GiveBack(Plan* plan);

// Floors by tier; then surges by tier: own and idle slots, a cheaper version, loans; at last shed.
void ServeProduct(Plan* plan);

}  // namespace weir::sched
