// engine/draft_share.h - how many guesses of whom a step evaluates.
//
// A step of few tokens costs what reading the weights costs: further columns come nearly free, up
// to where arithmetic bounds it. So guesses are taken, likeliest first, as long as one adds more to
// the tokens that the step is expected to make than it adds to its time. With several answers the
// step is worth more already, and the same guess less: of many streams none guesses.
// Engine calls it for each step in which only answers go on. A pure function of counts and chances;
// it must not know the time, so that the same requests are guessed for in the same way.
// Threads: free function.
#pragma once
#include <span>
#include <vector>

namespace maru::engine {

// Columns of a step that holds guesses: of one answer alone, and where others wait for it.
inline constexpr size_t kColumnsAlone = 16;
inline constexpr size_t kColumnsTogether = 8;
// What a column adds to a step, as a part of the time of a step of one: up to kColumnsCheap of them
// and beyond. As measured on two cores (docs/speculation.md); more cores have cheaper ones.
inline constexpr size_t kColumnsCheap = 8;
inline constexpr double kColumnCost = 0.08;
inline constexpr double kColumnCostBeyond = 0.15;

// Guesses for each of the step's answers. chances[i]: of the i-th answer's guesses, each that of
// all up to it being right. Guesses and answers together are at most n_columns_max, unless the
// answers are more.
std::vector<size_t> share_drafts(std::span<const std::span<const double>> chances,
                                 size_t n_columns_max);

}  // namespace maru::engine
