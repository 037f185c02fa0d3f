// importer/families.h - the families that the importer knows, each in a file of families/.
#pragma once
#include "importer/family.h"

namespace maru::importer {

extern const Family kLlama;
extern const Family kQwen2;
extern const Family kQwen3;

}  // namespace maru::importer
