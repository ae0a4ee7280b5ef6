#include "lab/blueprint/layout.h"

#include <fmt/format.h>

namespace weir::blueprint {

std::string_view NameOf(Recompute r) {
  switch (r) {
    case Recompute::kNone:
      return "none";
    case Recompute::kSelective:
      return "selective";
    case Recompute::kFull:
      return "full";
  }
  return "?";
}

std::string Describe(const Layout& l) {
  return fmt::format("tp{} pp{}{} dp{} cp{} ep{} zero{} mbs{} recompute={} {}", l.tp, l.pp,
                     l.interleave > 1 ? fmt::format("x{}", l.interleave) : "", l.dp, l.cp, l.ep,
                     l.zero, l.micro_batch, NameOf(l.recompute), NameOf(l.precision));
}

}  // namespace weir::blueprint
