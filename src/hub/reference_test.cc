#include "hub/reference.h"

#include <gmock/gmock.h>

#include "base/rng.h"

namespace maru::hub {
namespace {

using testing::ElementsAre;

TEST(Reference, ReadsWhatPeopleType) {
  const auto hub = [](const char* text) { return std::get<HubReference>(*parse_reference(text)); };
  EXPECT_EQ(hub("hf.co/Qwen/Qwen3-0.6B-GGUF:q8_0"),
            (HubReference{.repo = "Qwen/Qwen3-0.6B-GGUF", .quantization = "Q8_0"}));
  EXPECT_EQ(hub("Qwen/Qwen3-0.6B-GGUF"), (HubReference{.repo = "Qwen/Qwen3-0.6B-GGUF"}));
  EXPECT_EQ(hub("hf.co/o/r:latest"), (HubReference{.repo = "o/r"}));
  EXPECT_EQ(hub("huggingface.co/o/r/a/b.gguf"), (HubReference{.repo = "o/r", .file = "a/b.gguf"}));
  EXPECT_EQ(hub("o/r@v1.0:Q4_0"),
            (HubReference{.repo = "o/r", .revision = "v1.0", .quantization = "Q4_0"}));
  EXPECT_EQ(hub("o/r@v1.0/b.gguf"),
            (HubReference{.repo = "o/r", .revision = "v1.0", .file = "b.gguf"}));
  EXPECT_EQ(hub("o/r:Q4_0@refs/pr/3"),
            (HubReference{.repo = "o/r", .revision = "refs/pr/3", .quantization = "Q4_0"}));
  EXPECT_EQ(hub("https://huggingface.co/o/r/resolve/main/x.gguf?download=true"),
            (HubReference{.repo = "o/r", .file = "x.gguf"}));
  EXPECT_EQ(hub("https://hf.co/o/r/blob/v2/d/x.gguf"),
            (HubReference{.repo = "o/r", .revision = "v2", .file = "d/x.gguf"}));
  EXPECT_EQ(hub("https://huggingface.co/o/r/tree/v2"),
            (HubReference{.repo = "o/r", .revision = "v2"}));
  EXPECT_EQ(std::get<WebReference>(*parse_reference("https://example.org/m.gguf?x=1")).url,
            "https://example.org/m.gguf?x=1");
  EXPECT_EQ(std::get<PathReference>(*parse_reference("./m.gguf")).path, "./m.gguf");
  EXPECT_EQ(std::get<PathReference>(*parse_reference("dir/m.gguf")).path, "dir/m.gguf");
  EXPECT_EQ(std::get<OllamaReference>(*parse_reference("ollama:llama3.2:3b")),
            (OllamaReference{"llama3.2", "3b"}));
  EXPECT_EQ(std::get<OllamaReference>(*parse_reference("ollama:user/m")),
            (OllamaReference{"user/m", "latest"}));
  EXPECT_EQ(parse_reference("llama9").error().code, ErrorCode::kNotFound);
}

TEST(Reference, IsWrittenAsItIsRead) {
  for (const char* text :
       {"hf.co/o/r", "hf.co/o/r:Q4_K_M", "hf.co/o/r@v1:Q4_0", "hf.co/o/r/d/x.gguf",
        "hf.co/o/r@v1/x.gguf", "https://example.org/a.gguf", "/a/b.gguf", "ollama:m:latest"}) {
    EXPECT_EQ(reference_text(*parse_reference(text)), text);
  }
}

TEST(Reference, RefusesWaysOut) {
  for (const char* text :
       {"hf.co/o", "hf.co//r", "hf.co/o/../x.gguf", "hf.co/../r", "hf.co/o/r/../../x.gguf",
        "hf.co/o/r/a//x.gguf", "hf.co/o/r@:Q4_0", "hf.co/o/r@../x:Q4_0", "hf.co/o/r:Q4/0",
        "hf.co/o/r/x.bin", "hf.co/o/r?x:Q4_0", "hf.co/o/r\n", "ollama:../../etc:passwd",
        "ollama:", "ollama:m:", "ollama:m:../x", "http://hf.co/o/r", "https://user@hf.co/o/r",
        "ftp://hf.co/o/r.gguf"}) {
    const auto reference = parse_reference(text);
    ASSERT_FALSE(reference.ok()) << text;
    EXPECT_EQ(reference.error().code, ErrorCode::kInvalidArgument) << text;
  }
}

TEST(Reference, NamesTheSchemesThereAre) {
  const auto reference = parse_reference("ftp://example.org/models/x.gguf");
  ASSERT_FALSE(reference.ok());
  EXPECT_NE(reference.error().message.find("accepted: https://"), std::string::npos);
}

// Threat 26: whatever the text, what comes out stays below where it belongs.
TEST(Reference, OddTextNeverBecomesAPathThatClimbs) {
  const std::vector<std::string> pieces = {"..", ".",      "/",   "o",       "r",    "@",
                                           ":",  "hf.co/", "%2e", "\\",      "a",    "~",
                                           " ",  ".gguf",  "\n",  "ollama:", "Q4_0", "\xff"};
  for (uint64_t seed = 0; seed < 20'000; ++seed) {
    Rng rng(seed);
    std::string text = rng.below(2) == 0 ? "hf.co/" : "ollama:";
    for (uint64_t i = 0, n = rng.below(12); i < n; ++i) text += pieces[rng.below(pieces.size())];
    const auto reference = parse_reference(text);
    if (!reference.ok()) continue;
    std::vector<std::string> parts;
    if (const auto* hub = std::get_if<HubReference>(&*reference)) {
      parts = {hub->repo, hub->revision, hub->file, hub->quantization};
    } else if (const auto* ollama = std::get_if<OllamaReference>(&*reference)) {
      parts = {ollama->name, ollama->tag};
    }
    for (const std::string& part : parts) {
      EXPECT_FALSE(part.starts_with('/')) << "seed " << seed;
      EXPECT_EQ(("/" + part + "/").find("/../"), std::string::npos) << "seed " << seed;
      EXPECT_EQ(part.find_first_of("\\%\n\xff"), std::string::npos) << "seed " << seed;
    }
    EXPECT_TRUE(check_name(tidy_name(text)).ok()) << tidy_name(text);
  }
}

TEST(Quantization, IsReadFromTheFilesName) {
  EXPECT_EQ(quantization_of("Qwen3-4B-Q4_K_M.gguf"), "Q4_K_M");
  EXPECT_EQ(quantization_of("qwen2.5-coder-1.5b-instruct-q4_k_m-00001-of-00002.gguf"), "Q4_K_M");
  EXPECT_EQ(quantization_of("UD-Q4_K_XL/Qwen3-UD-Q4_K_XL-00001-of-00003.gguf"), "UD-Q4_K_XL");
  EXPECT_EQ(quantization_of("SmolLM2-135M-Instruct.Q4_1.gguf"), "Q4_1");
  EXPECT_EQ(quantization_of("gpt-oss-20b-mxfp4.gguf"), "MXFP4");
  EXPECT_EQ(quantization_of("gpt-oss-20b-F16.gguf"), "F16");
  EXPECT_EQ(quantization_of("phi-IQ4_XS.gguf"), "IQ4_XS");
  EXPECT_EQ(quantization_of("gemma-3-4b-it-q4_0.gguf"), "Q4_0");
  EXPECT_EQ(quantization_of("QwQ-32B.gguf"), "");
  EXPECT_EQ(quantization_of("-"), "");
  EXPECT_EQ(quantization_of(""), "");
}

TEST(Split, NamesAllParts) {
  EXPECT_THAT(
      *split_part_names("a-00002-of-00003.gguf"),
      ElementsAre("a-00001-of-00003.gguf", "a-00002-of-00003.gguf", "a-00003-of-00003.gguf"));
  for (const char* one : {"a.gguf", "a-00004-of-00003.gguf", "a-00000-of-00003.gguf", "a",
                          "a-0001-of-0003.gguf", "a-00001-of-00003.bin"}) {
    EXPECT_THAT(*split_part_names(one), ElementsAre(one));
  }
  EXPECT_FALSE(split_part_names("a-00001-of-99999.gguf").ok());
  EXPECT_EQ(model_stem("a-00001-of-00003.gguf"), "a");
  EXPECT_EQ(model_stem("a.b.gguf"), "a.b");
}

TEST(Name, TidyAndChecked) {
  EXPECT_EQ(tidy_name("My Model/7B"), "my-model-7b");
  EXPECT_EQ(tidy_name("../x"), "x");
  EXPECT_EQ(tidy_name("/"), "model");
  EXPECT_TRUE(check_name("qwen3:0.6b").ok());
  for (const char* bad : {"", ".", "..", "A", "a/b", "-x", ".x", "a b"}) {
    EXPECT_FALSE(check_name(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace maru::hub
