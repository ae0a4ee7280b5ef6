// Loans: slots of research for a service that has used up its own.
#pragma once

#include "lab/sched/plan.h"

namespace weir::sched {

// Replicas that an open loan carries or will carry: whole ones on its usable slots. A recalled one:
// 0.
int64_t LoanReplicas(const Plan& plan, const ServicePlan& service, const Loan& loan);

// Starts replicas on what has come free of the service's open loans, and asks a job that is still
// in their way to stop.
void StartOnLoans(Plan* plan, ServicePlan* service);

// Opens loans for up to n replicas: idle slots first, then the jobs that lose least, within every
// lend limit, at most loan_replicas on each. Returns for how many; if for fewer, the service's note
// says why the rest is refused. None while an earlier loan of this service is on its way back:
// research has it back before it is asked again. Jobs are stopped only for the first `pressing` of
// the n (sizing.h), and paused only for the first `lasting`: the rest would serve off the queue and
// then be idle, for which a job is shrunk at most.
int64_t OpenLoans(Plan* plan, ServicePlan* service, int64_t n, int64_t pressing, int64_t lasting,
                  const Reason& reason);

}  // namespace weir::sched
