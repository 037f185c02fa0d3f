// base/rng.h - the one random number generator: small, seeded, the same on every machine.
//
// Source: Steele, Lea, Flood 2014 (SplitMix64) expands the seed; Blackman and Vigna 2018
// (arXiv:1805.01407), xoshiro256**, section 3. Not for secrets.
// Threads: none; one Rng belongs to one owner.
#pragma once
#include <array>
#include <bit>
#include <cstdint>

namespace maru {

class Rng {
 public:
  explicit Rng(uint64_t seed) {
    for (uint64_t& word : state_) {
      seed += 0x9E3779B97F4A7C15u;
      uint64_t z = seed;
      z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
      z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
      word = z ^ (z >> 31);
    }
  }

  uint64_t next() {
    const uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
    const uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = std::rotl(state_[3], 45);
    return result;
  }

  // In [0, 1), 53 bits.
  double uniform() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

  // In [0, n). Requires: n >= 1. The bias is below n / 2^64.
  uint64_t below(uint64_t n) {
    return static_cast<uint64_t>((static_cast<unsigned __int128>(next()) * n) >> 64);
  }

 private:
  std::array<uint64_t, 4> state_;
};

}  // namespace maru
