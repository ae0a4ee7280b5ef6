// What the worker processes of one job do together: sum arrays. Everything else (barriers, agreeing
// to stop, telling all what rank 0 decided) is such a sum.
//
// Every rank calls the same methods with the same sizes in the same order. Afterwards all ranks
// hold the same bits, and these depend on the values and the world size alone.
//
// Behind this interface: one process alone; a ring over TCP (below). MPI or NCCL would be a third.
//
// Threads   one caller at a time.
// Errors    kUnavailable: a peer is gone or silent. The collective is of no use after that; the
//           process should end with kPeerLostExit.
#pragma once

#include <atomic>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"
#include "base/units.h"

namespace weir::train {

inline constexpr int kPeerLostExit = 74;

class Collective {
 public:
  virtual ~Collective() = default;
  virtual int rank() const = 0;
  virtual int world() const = 0;
  virtual Status Sum(std::span<float> x) = 0;
  virtual Status Sum(std::span<double> x) = 0;
  // Looks whether a neighbour has hung up, without waiting. Between micro-batches, so that a death
  // is seen within seconds even when a step takes longer.
  virtual Status CheckPeers() = 0;

  Status Barrier() {
    double nothing = 0;
    return Sum(std::span<double>(&nothing, 1));
  }
};

std::unique_ptr<Collective> Alone();

struct RingOptions {
  int rank = 0, world = 1;
  std::string rendezvous;  // host:port; rank 0 listens there, the others connect
  std::string run;         // names this attempt: ranks of another attempt are turned away
  Duration connect_timeout = Duration::Seconds(60);
  Duration silence_timeout = Duration::Seconds(120);  // a peer may be writing a checkpoint
  const std::atomic<bool>* stop = nullptr;            // gives up connecting: kCancelled
};
// A ring of TCP connections, rank r sending to r + 1. A sum is a reduce-scatter and an all-gather:
// each rank sends 2 (world - 1) / world of the array.
// Source: Patarasuk & Yuan, "Bandwidth Optimal All-reduce Algorithms for Clusters of Workstations",
// 2009. Bytes are the machine's own (all ranks alike); nothing is encrypted: a trusted network
// only.
Result<std::unique_ptr<Collective>> ConnectRing(const RingOptions& options);

}  // namespace weir::train
