// What `weir plan` answers, as text, as JSON and as a page.
#pragma once

#include <string>

#include "lab/plan/advice.h"
#include "wire/plan.h"

namespace weir::app {

std::string PlanText(const plan::PlanAnswer& a);
// `title`: of the plan file.
wire::PlanDoc PlanDocOf(const plan::PlanAnswer& a, const std::string& title);
std::string PlanJson(const wire::PlanDoc& doc);
// One file, no script, nothing fetched; light and dark.
std::string PlanPage(const plan::PlanAnswer& a, const std::string& title);

// "$12.34M", "$56.7k".
std::string Dollars(double usd);

}  // namespace weir::app
