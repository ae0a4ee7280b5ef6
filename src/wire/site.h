// A site as it was added (`weir site add`): where its engine is reached, who rents it out, what it
// costs, and when silence counts as loss. The journal keeps it; control/ opens a driver from it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "wire/schema.h"

namespace weir::wire {

// How a cluster's controller is reached.
enum class SlurmVia {
  kHere,  // its command line on this host
  kSsh,   // its command line on another host, by the system's OpenSSH
  kRest,  // slurmrestd
};

// What the slurm driver needs to know of one cluster.
struct SlurmSite {
  SlurmVia via = SlurmVia::kHere;
  std::string address;
  std::string user;
  std::string token_file;
  std::string conf;
  std::string cluster;
  std::string partition;
  std::string account;
  std::string qos;
  std::string reservation;
  std::string gres = "gpu";
  int64_t cpus_per_slot = 0;
  std::string data_at;
  std::string weir_at;
  int64_t first_port = 21'000;
  Duration poll_every = Duration::Seconds(2);
  double load_share = 0.05;
  Duration start_within = Duration::Minutes(5);
};
template <class V>
void Fields(V& v, Owned<V, SlurmSite>& s) {
  v("via", s.via, "here, ssh or rest");
  v("address", s.address, "ssh: [user@]host, as ssh takes it; rest: http://host:port");
  v("user", s.user, "rest: whose token it is");
  v("token_file", s.token_file, "rest: a file that holds the token and nothing else");
  v("conf", s.conf, "slurm.conf, where it is not in its usual place");
  v("cluster", s.cluster, "ClusterName, as the controller says it", kRequired);
  v("partition", s.partition, "empty: the cluster's default");
  v("account", s.account, "that pays; empty: the user's default");
  v("qos", s.qos, "empty: the account's default");
  v("reservation", s.reservation, "that the lab holds; empty: none");
  v("gres", s.gres, "what a slot is: gpu; empty: cpus_per_slot CPUs");
  v("cpus_per_slot", s.cpus_per_slot, "0: a node's CPUs divided by its accelerators");
  v("data_at", s.data_at,
    "where the site's nodes see the lab's data folder; empty: under the same path");
  v("weir_at", s.weir_at, "the weir program at the site; empty: under the same path as here");
  v("first_port", s.first_port, "replicas and rendezvous use this port and the 10,000 after it");
  v("poll_every_us", s.poll_every, "between two looks while nothing is under way");
  v("load_share", s.load_share, "of the time, at most, queries keep the controller busy");
  v("start_within_us", s.start_within,
    "a job that Slurm holds back for longer is withdrawn; its work goes elsewhere");
}

struct SiteSpec {
  std::string name;
  std::string driver = "slurm";
  std::string provider;
  std::string contract;
  std::string region;
  double price_usd_per_slot_h = 0;
  double power_w_per_slot = 0;
  int64_t quota_slots = 0;
  bool draining = false;
  std::string why;
  Duration unknown_after = Duration::Seconds(20);
  Duration lost_after = Duration::Minutes(30);
  SlurmSite slurm;
};
template <class V>
void Fields(V& v, Owned<V, SiteSpec>& s) {
  v("name", s.name, "unique in the lab", kRequired);
  v("driver", s.driver, "slurm");
  v("provider", s.provider, "the company that rents it out");
  v("contract", s.contract, "under which");
  v("region", s.region, "such as eu-north: what --region chooses by");
  v("price_usd_per_slot_h", s.price_usd_per_slot_h, "US dollars for a slot-hour");
  v("power_w_per_slot", s.power_w_per_slot, "stated draw of a busy slot, in watts");
  v("quota_slots", s.quota_slots, "most slots that the lab may hold there; 0 = all of them");
  v("draining", s.draining, "takes nothing new; what can be saved is moved away");
  v("why", s.why, "reason for draining");
  v("unknown_after_us", s.unknown_after,
    "without an answer for so long, what runs there is unknown");
  v("lost_after_us", s.lost_after,
    "unknown for so long, its work is declared lost and may start elsewhere; 0 = never");
  v("slurm", s.slurm);
}

// One thing that a site needs, looked at.
struct SiteCheck {
  std::string what;
  bool ok = false;
  bool fatal = true;
  std::string said;
  std::string hint;
};
template <class V>
void Fields(V& v, Owned<V, SiteCheck>& c) {
  v("what", c.what, "", kRequired);
  v("ok", c.ok, "", kRequired);
  v("fatal", c.fatal, "not ok: the site cannot be added, or does not work");
  v("said", c.said, "what was found");
  v("hint", c.hint, "the next step where it is not ok");
}

}  // namespace weir::wire

WEIR_ENUM(weir::wire::SlurmVia, {weir::wire::SlurmVia::kHere, "here"},
          {weir::wire::SlurmVia::kSsh, "ssh"}, {weir::wire::SlurmVia::kRest, "rest"});
WEIR_MESSAGE(weir::wire::SlurmSite);
WEIR_MESSAGE(weir::wire::SiteSpec);
WEIR_MESSAGE(weir::wire::SiteCheck);
