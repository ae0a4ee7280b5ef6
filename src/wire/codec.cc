// The codecs of wire's messages.
#include "wire/instantiate.h"

#include "wire/api.h"
#include "wire/lab.h"
#include "wire/plan.h"
#include "wire/site.h"
#include "wire/view.h"
