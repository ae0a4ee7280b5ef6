// The codecs of control's own messages: events, snapshots of the state, the files of a run.
#include "wire/plan.h"
#include "wire/view.h"

#include "lab/market/messages.h"
#include "wire/instantiate.h"

#include "control/drivers/run_files.h"
#include "control/events.h"
#include "control/lab_past.h"
#include "control/state.h"
