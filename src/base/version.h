// The version that `weir version`, logs and lineage records show.
#pragma once
namespace weir {
inline constexpr const char* kVersion = "0.1.0";
}
