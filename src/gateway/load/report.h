// What a load run measured. Every time counts from the moment a request was *meant* to be sent, so
// a server that stalls cannot hide the requests that it kept from being sent (coordinated
// omission). Quantiles are exact: every sample is kept. Threads: one.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/units.h"

namespace weir::gateway {

struct LoadSlo {
  Duration ttft = {}, tpot = {}, latency = {};  // 0: not asked for
};

struct LoadSample {
  bool ok = false;
  std::string error;  // its kind, if not ok: "http_429", "connect", "broken", "timeout", ...
  Duration ttft = {}, tpot = {}, latency = {};
  uint64_t tokens = 0;
  bool streamed = false;
};

class LoadReport {
 public:
  explicit LoadReport(LoadSlo slo) : slo_(slo) {}
  void Sent(Duration late) {
    ++sent_;
    late_.push_back(late.us);
  }
  void Add(const LoadSample& sample);
  void Finish(Duration elapsed) { elapsed_ = elapsed; }

  uint64_t sent() const { return sent_; }
  uint64_t done() const { return ok_ + failed_; }
  uint64_t ok() const { return ok_; }
  uint64_t failed() const { return failed_; }
  const std::map<std::string, uint64_t>& errors() const { return errors_; }
  uint64_t tokens() const { return tokens_; }
  uint64_t good() const { return good_; }  // ok, and within every SLO asked for
  enum class What { kTtft, kTpot, kLatency, kSendLate };
  Duration Quantile(What what, double q) const;
  size_t Count(What what) const { return Samples(what).size(); }

  std::string Json() const;  // documented in docs/cli.md by its own keys: ms, per second
  std::string Text() const;  // for people

 private:
  const std::vector<int64_t>& Samples(What what) const;
  const LoadSlo slo_;
  uint64_t sent_ = 0, ok_ = 0, failed_ = 0, good_ = 0, tokens_ = 0;
  Duration elapsed_ = {};
  std::map<std::string, uint64_t> errors_;
  std::vector<int64_t> ttft_, tpot_, latency_, late_;
};

}  // namespace weir::gateway
