// Turns the WEIR_MESSAGE lines of every header that is included after this one into code. Included
// by one .cc of each folder that has messages in headers, after what those headers are built on:
//
//   #include "wire/lab.h"           // another folder's: declared only
//   #include "wire/instantiate.h"
//   #include "control/events.h"     // ours: compiled here
#pragma once

#include "wire/schema.h"

#undef WEIR_MESSAGE
#define WEIR_MESSAGE(Type)  \
  WEIR_LOCAL_MESSAGE(Type); \
  WEIR_MESSAGE_CODEC(, Type)
