#include "control/drivers/slurm/slots.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace weir::control::slurm {
namespace {

constexpr size_t kMaxSlotsPerNode = 1024;

int64_t UsedSlots(const wire::SlurmSite& site, const Node& node) {
  if (site.gres.empty()) {
    const int64_t each = std::max<int64_t>(1, site.cpus_per_slot);
    return (node.cpus_used + each - 1) / each;
  }
  int64_t used = 0;
  for (const Gres& gres : node.gres_used) used += gres.name == site.gres ? gres.count : 0;
  return used;
}

}  // namespace

std::vector<std::string> SlotTypes(const wire::SlurmSite& site, const Node& node) {
  std::vector<std::string> types;
  if (site.gres.empty()) {
    types.resize(std::min<size_t>(
        kMaxSlotsPerNode,
        static_cast<size_t>(node.cpus / std::max<int64_t>(1, site.cpus_per_slot))));
    return types;
  }
  for (const Gres& gres : node.gres) {
    if (gres.name != site.gres) continue;
    for (int64_t i = 0; i < gres.count && types.size() < kMaxSlotsPerNode; ++i)
      types.push_back(gres.type);
  }
  return types;
}

std::vector<wire::Slot> SlotsOf(const wire::SiteSpec& site, const Facts& facts, const Look& look,
                                const std::vector<Held>& held, Time now,
                                std::map<std::string, int64_t>& theirs_before) {
  const std::map<std::string, std::string> paths(facts.topology.begin(), facts.topology.end());
  std::set<std::string> ours, used;
  for (const Held& run : held) {
    ours.insert(run.slots.begin(), run.slots.end());
    if (run.used) used.insert(run.slots.begin(), run.slots.end());
  }
  std::map<std::string, int64_t> theirs_now;
  const Duration skew = look.clock.is_set() ? now - look.clock : Duration{};

  std::vector<const Node*> nodes;
  for (const Node& node : look.nodes) nodes.push_back(&node);
  std::sort(nodes.begin(), nodes.end(),
            [](const Node* a, const Node* b) { return a->name < b->name; });
  std::vector<wire::Slot> slots;
  for (size_t n = 0; n < nodes.size(); ++n) {
    const Node& node = *nodes[n];
    if (n > 0 && nodes[n - 1]->name == node.name) continue;
    const auto in = [&](const Reservation& r) {
      return std::find(r.nodes.begin(), r.nodes.end(), node.name) != r.nodes.end();
    };
    const std::string& own = site.slurm.reservation;
    const bool inside = std::any_of(look.reservations.begin(), look.reservations.end(),
                                    [&](const Reservation& r) { return r.name == own && in(r); });
    wire::SlotHealth health = wire::SlotHealth::kUp;
    std::string why;
    const NodeUse use = UseOf(node.state);
    // Slurm calls a node reserved for us too.
    const bool only_reserved = inside && node.state.find("DRAIN") == std::string::npos;
    if (use == NodeUse::kDown || (use == NodeUse::kDrained && !only_reserved)) {
      health = use == NodeUse::kDown ? wire::SlotHealth::kDown : wire::SlotHealth::kCordoned;
      why = fmt::format("Slurm says {}{}{}", node.state, node.reason.empty() ? "" : ": ",
                        node.reason);
    }
    Time leaves;
    for (const Reservation& r : look.reservations) {
      if (!in(r) || r.name == own || r.end <= look.clock) continue;
      if (r.start <= look.clock) {
        if (health == wire::SlotHealth::kUp) {
          health = wire::SlotHealth::kCordoned;
          why = fmt::format("in Slurm's reservation {}", r.name);
        }
      } else if (!leaves.is_set() || r.start + skew < leaves) {
        leaves = r.start + skew;
      }
    }
    if (!own.empty() && !inside) continue;

    const std::vector<std::string> types = SlotTypes(site.slurm, node);
    const size_t first = slots.size();
    int64_t held_here = 0;
    for (size_t i = 0; i < types.size(); ++i) {
      wire::Slot slot;
      slot.id = fmt::format("{}/{}/{}", site.name, node.name, i);
      slot.site = site.name;
      slot.node = node.name;
      slot.index = static_cast<int64_t>(i);
      slot.health = health;
      slot.why = why;
      slot.core_share = static_cast<double>(node.cpus) / static_cast<double>(types.size());
      slot.type = types[i];
      if (const auto path = paths.find(node.name); path != paths.end())
        slot.topology = path->second;
      slot.leaves = leaves;
      held_here += static_cast<int64_t>(used.count(slot.id));
      slots.push_back(std::move(slot));
    }
    int64_t theirs = std::max<int64_t>(0, UsedSlots(site.slurm, node) - held_here);
    theirs_now[node.name] = theirs;
    if (const auto before = theirs_before.find(node.name); before != theirs_before.end())
      theirs = std::min(theirs, before->second);
    const int64_t told = theirs;
    for (size_t i = slots.size(); i > first && theirs > 0 && health == wire::SlotHealth::kUp; --i) {
      wire::Slot& slot = slots[i - 1];
      if (ours.count(slot.id) != 0) continue;
      slot.health = wire::SlotHealth::kCordoned;
      slot.why = fmt::format("{} of {} on {} are held by the site's other users", told,
                             types.size(), node.name);
      --theirs;
    }
  }
  theirs_before = std::move(theirs_now);
  if (site.quota_slots <= 0) return slots;
  // Ours first: a quota that was lowered takes away what is free.
  int64_t left = site.quota_slots;
  for (const wire::Slot& slot : slots) left -= static_cast<int64_t>(ours.count(slot.id));
  for (wire::Slot& slot : slots) {
    if (slot.health != wire::SlotHealth::kUp || ours.count(slot.id) != 0) continue;
    if (left-- > 0) continue;
    slot.health = wire::SlotHealth::kCordoned;
    slot.why = fmt::format("beyond the lab's quota of {} slots at this site", site.quota_slots);
  }
  return slots;
}

}  // namespace weir::control::slurm
