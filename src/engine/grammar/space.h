// The places that a walk through an automaton meets, each made once and named by a number.
//
//   frame   what a call returns to: a state and the frame below it. Frames are a tree that grows
//           upwards, so stacks share what they have in common.
//   head    a state on top of a frame: one way in which the text so far can be read
//   config  a set of heads: all the ways. Its transitions by byte are found when first asked for
//           and kept, so a walk over a trie of tokens is mostly table look-ups.
//
// kBottom is below the whole form: a rule that ends there ends the text. kUnknown stands for
// whatever frame there is, when tokens are judged without knowing the caller: a config then says
// in `escapes` that some way of reading has left what is known.
// Threads: none; a Space belongs to one Matcher or to one computation.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/grammar/automaton.h"

namespace weir::grammar {

class Space {
 public:
  using FrameId = int32_t;
  using ConfigId = int32_t;
  static constexpr FrameId kBottom = 0, kUnknown = 1;
  static constexpr ConfigId kDead = 0;

  struct Head {
    StateId state;
    FrameId frame;
    bool operator==(const Head&) const = default;
    auto operator<=>(const Head&) const = default;
  };
  struct Frame {
    FrameId below;
    StateId state;  // where the caller goes on
    int depth;
  };

  explicit Space(const Automaton& automaton);

  ConfigId Of(std::vector<Head> heads);  // with those that endings lead to
  ConfigId Step(ConfigId config, uint8_t byte) {
    int32_t& to = (*configs_[static_cast<size_t>(config)].next)[byte];
    if (to == kNotYet) to = Find(config, byte);
    return to;
  }
  const std::vector<Head>& Heads(ConfigId config) const {
    return configs_[static_cast<size_t>(config)].heads;
  }
  bool Ends(ConfigId config) const { return configs_[static_cast<size_t>(config)].ends; }
  bool Escapes(ConfigId config) const { return configs_[static_cast<size_t>(config)].escapes; }
  const Frame& frame(FrameId id) const { return frames_[static_cast<size_t>(id)]; }

  bool full() const { return configs_.size() > kMostConfigs || frames_.size() > kMostFrames; }
  // Copies a config (and the frames below it) into an empty space.
  ConfigId CopyTo(Space& other, ConfigId config) const;

 private:
  static constexpr int32_t kNotYet = -1;
  static constexpr size_t kMostConfigs = 4096;  // 1 KB each
  static constexpr size_t kMostFrames = 1 << 16;
  static constexpr size_t kMostHeads = 4096;

  struct Config {
    std::vector<Head> heads;
    bool ends = false, escapes = false;
    std::unique_ptr<std::array<int32_t, 256>> next;
  };
  struct Hash {
    static uint64_t Mix(uint64_t h, uint64_t x) {
      h = (h ^ x) * 0x9E3779B97F4A7C15u;
      return h ^ (h >> 29);
    }
    size_t operator()(const Head& h) const {
      return Mix(static_cast<uint32_t>(h.state), static_cast<uint32_t>(h.frame));
    }
    size_t operator()(const std::pair<std::vector<Head>, int>& key) const {
      uint64_t all = static_cast<uint64_t>(key.second);
      for (const Head& h : key.first) all = Mix(all, (*this)(h));
      return all;
    }
  };

  FrameId Push(FrameId below, StateId state);
  ConfigId Intern(std::vector<Head> heads, bool ends, bool escapes);
  ConfigId Find(ConfigId config, uint8_t byte);
  // Adds a head and those that its ending leads to.
  struct Gather;
  void Arrive(Gather& gather, Head head) const;

  const Automaton* automaton_;
  std::vector<Frame> frames_;
  std::unordered_map<Head, FrameId, Hash> frame_ids_;  // by (state, below)
  std::vector<Config> configs_;
  std::unordered_map<std::pair<std::vector<Head>, int>, ConfigId, Hash> config_ids_;
};

}  // namespace weir::grammar
