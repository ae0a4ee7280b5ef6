// Logging: spdlog under one name. Lines go to stderr as "2026-11-22T14:03:05.123Z info  message",
// so that stdout stays for a command's answer. Never log a key, a prompt or a completion.
#pragma once

#include <spdlog/spdlog.h>

#include <string_view>

namespace weir::log {

// level: trace, debug, info, warn, error, off. Unknown names are taken as info; config checks them.
void Init(std::string_view level);

using spdlog::debug;
using spdlog::error;
using spdlog::info;
using spdlog::trace;
using spdlog::warn;

}  // namespace weir::log
