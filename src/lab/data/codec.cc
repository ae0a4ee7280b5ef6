// The codecs of a dataset's manifest.
#include "wire/instantiate.h"

#include "lab/data/dataset.h"
