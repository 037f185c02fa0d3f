// importer/families.h - the families that the importer knows, each in a file of families/.
#pragma once
#include "importer/family.h"

namespace maru::importer {

extern const Family kBert;
extern const Family kLlama;
extern const Family kNomicBert;
extern const Family kQwen2;
extern const Family kQwen3;
extern const Family kXlmRoberta;

}  // namespace maru::importer
