// importer/families.h - the families that the importer knows, each in a file of families/.
#pragma once
#include "importer/family.h"

namespace maru::importer {

extern const Family kArcee;
extern const Family kBert;
extern const Family kCohere2;
extern const Family kDeepseek;
extern const Family kErnie;
extern const Family kErnieMoe;
extern const Family kExaone4;
extern const Family kGemma2;
extern const Family kGemma3;
extern const Family kGlm4;
extern const Family kGlm4Moe;
extern const Family kGptOss;
extern const Family kGranite;
extern const Family kGraniteMoe;
extern const Family kHunyuanDense;
extern const Family kLfm2;
extern const Family kLfm2Moe;
extern const Family kLlama;
extern const Family kMamba2;
extern const Family kMixtral;
extern const Family kNemotron;
extern const Family kNomicBert;
extern const Family kOlmo2;
extern const Family kOlmoe;
extern const Family kPhi3;
extern const Family kQwen2;
extern const Family kQwen2Moe;
extern const Family kQwen3;
extern const Family kQwen35;
extern const Family kQwen3Moe;
extern const Family kQwen3Next;
extern const Family kSeedOss;
extern const Family kSmolLm3;
extern const Family kStablelm;
extern const Family kStarcoder2;
extern const Family kXlmRoberta;

}  // namespace maru::importer
