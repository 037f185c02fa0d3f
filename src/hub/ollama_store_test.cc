#include "hub/ollama_store.h"

#include <gmock/gmock.h>

#include <fstream>

#include "base/files.h"
#include "base/rng.h"
#include "hub/pull.h"
#include "hub/test_network.h"
#include "hub/test_wheels.h"

namespace maru::hub {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

class OllamaTest : public testing::Test {
 protected:
  OllamaTest() {
    put("blobs/sha256-" + sha256_of(weights_), weights_);
    put("blobs/sha256-" + sha256_of(licence_), licence_);
    put("blobs/sha256-" + sha256_of(config_), config_);
    put("manifests/registry.ollama.ai/library/tiny/1b", manifest());
  }
  void put(const std::string& path, const std::string& content) {
    fs::create_directories((root_ / path).parent_path());
    ASSERT_TRUE(write_file_atomic(root_ / path, content).ok());
  }
  std::string layer(const std::string& kind, const std::string& content) const {
    return fmt::format(
        R"({{"mediaType":"application/vnd.ollama.image.{}","digest":"sha256:{}","size":{}}})", kind,
        sha256_of(content), content.size());
  }
  std::string manifest() const {
    const std::string other =
        R"({"mediaType":"application/vnd.ollama.image.template","digest":"sha256:0","size":1})";
    return fmt::format(R"({{"schemaVersion":2,"config":{},"layers":[{},{},{}]}})",
                       layer("config", config_), layer("model", weights_),
                       layer("license", licence_), other);
  }
  Result<StoredModel> pull_it(const std::string& text) {
    const auto as_source = [](const auto& r) { return Source(r); };
    const PullRequest request{.sources = {std::visit(as_source, *parse_reference(text))}};
    FakeSource packages;
    FakeNetwork network;
    return pull(store_, request,
                {.packages = packages, .http = network, .ollama = {root_}, .clock = clock_});
  }

  TestFolder folder_;
  const fs::path root_ = folder_.path() / "ollama";
  const Store store_ = *Store::open(folder_.path() / "home");
  const ManualClock clock_;
  const std::string weights_ = "GGUF" + std::string(1000, 'w');
  const std::string licence_ = "\n  MIT License\nmore";
  const std::string config_ = R"({"model_format":"gguf","file_type":"Q4_K_M"})";
};

TEST_F(OllamaTest, FindsAndLinks) {
  const auto model = pull_it("ollama:tiny:1b");
  ASSERT_TRUE(model.ok()) << model.error().message;
  EXPECT_EQ(model->name, "tiny:1b");
  EXPECT_EQ(model->licence, "MIT License");
  EXPECT_EQ(model->quantization, "Q4_K_M");
  EXPECT_EQ(model->checked, "ollama");
  EXPECT_EQ(model->bytes, weights_.size());
  EXPECT_TRUE(fs::is_symlink(model->path));
  EXPECT_EQ(read_file(model->path, 1 << 20).value(), weights_);
  EXPECT_EQ(store_.find("ollama:tiny:1b")->name, "tiny:1b");
  ASSERT_TRUE(store_.remove("tiny:1b").ok());
  EXPECT_TRUE(fs::exists(root_ / ("blobs/sha256-" + sha256_of(weights_))));
}

TEST_F(OllamaTest, SaysWhatThereIs) {
  EXPECT_THAT(pull_it("ollama:other").error().message, HasSubstr("it has tiny:1b"));
  EXPECT_THAT(list_ollama({root_}), ElementsAre("tiny:1b"));
  fs::remove_all(root_);
  EXPECT_THAT(pull_it("ollama:other").error().message, HasSubstr("OLLAMA_MODELS"));
}

TEST_F(OllamaTest, RefusesABlobThatIsNotWhatItsNameSays) {
  std::string other = weights_;
  other[10] = 'X';
  put("blobs/sha256-" + sha256_of(weights_), other);
  EXPECT_EQ(pull_it("ollama:tiny:1b").error().code, ErrorCode::kCorrupt);
  put("blobs/sha256-" + sha256_of(weights_), other + "longer");
  EXPECT_EQ(pull_it("ollama:tiny:1b").error().code, ErrorCode::kCorrupt);
}

TEST_F(OllamaTest, AModelWhoseBlobIsGoneSaysSoAndCanBeRemoved) {
  ASSERT_TRUE(pull_it("ollama:tiny:1b").ok());
  fs::remove_all(root_);
  EXPECT_THAT(store_.find("tiny:1b").error().message, HasSubstr("which is gone; `maru rm"));
  EXPECT_TRUE(store_.list()->empty());
  EXPECT_TRUE(store_.remove("tiny:1b").ok());
  EXPECT_TRUE(fs::is_empty(folder_.path() / "home/models"));
}

// Threat 26: a digest is 64 hex digits or an error (no path of a manifest is followed).
TEST_F(OllamaTest, MutatedManifestsLeadNowhereElse) {
  const std::string original = manifest();
  for (uint64_t seed = 0; seed < 2000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Rng rng(seed);
    std::string bytes = original;
    for (uint64_t i = 0, n = 1 + rng.below(4); i < n; ++i) {
      constexpr std::string_view kOdd = "/.\"{}[]:,x0-";
      bytes[rng.below(bytes.size())] = kOdd[rng.below(kOdd.size())];
    }
    std::ofstream(root_ / "manifests/registry.ollama.ai/library/tiny/1b") << bytes;
    const auto model = find_in_ollama({"tiny", "1b"}, {root_});
    if (model.ok()) {
      EXPECT_EQ(model->blob.parent_path(), root_ / "blobs");
      EXPECT_EQ(model->blob.filename().string().size(), 7u + 64u);
    }
  }
  std::string climbing = original;
  climbing.replace(climbing.find(sha256_of(weights_)), 64, "../../../../etc/passwd");
  put("manifests/registry.ollama.ai/library/tiny/1b", climbing);
  EXPECT_EQ(find_in_ollama({"tiny", "1b"}, {root_}).error().code, ErrorCode::kCorrupt);
}

class LinkTest : public OllamaTest {};

TEST_F(LinkTest, AFileIsLinkedWithAllItsParts) {
  const fs::path first = folder_.path() / "Big-Q4_0-00001-of-00002.gguf";
  ASSERT_TRUE(write_file_atomic(first, "GGUF one").ok());
  EXPECT_EQ(pull_it(first.string()).error().code, ErrorCode::kNotFound);
  ASSERT_TRUE(write_file_atomic(folder_.path() / "Big-Q4_0-00002-of-00002.gguf", "GGUF two").ok());
  const auto model = pull_it(first.string());
  ASSERT_TRUE(model.ok()) << model.error().message;
  EXPECT_EQ(model->name, "big-q4_0");
  EXPECT_EQ(model->bytes, 16u);
  EXPECT_EQ(model->quantization, "Q4_0");
  EXPECT_EQ(model->link_target, first.string());
  EXPECT_EQ(store_.list()->size(), 1u);
  ASSERT_TRUE(store_.remove("big-q4_0").ok());
  EXPECT_TRUE(fs::exists(first));
  EXPECT_TRUE(fs::is_empty(folder_.path() / "home/models"));
}

TEST_F(LinkTest, RefusesWhatIsNoGgufAndNamesThatAreTaken) {
  const fs::path path = folder_.path() / "tiny.gguf";
  ASSERT_TRUE(write_file_atomic(path, "PK no gguf").ok());
  EXPECT_THAT(pull_it(path.string()).error().message, HasSubstr("is no GGUF file"));
  ASSERT_TRUE(write_file_atomic(path, "GGUF").ok());
  ASSERT_TRUE(pull_it(path.string()).ok());
  ASSERT_TRUE(pull_it(path.string()).ok());  // again is no conflict
  fs::create_directories(folder_.path() / "b");
  ASSERT_TRUE(write_file_atomic(folder_.path() / "b/tiny.gguf", "GGUF").ok());
  EXPECT_THAT(pull_it((folder_.path() / "b/tiny.gguf").string()).error().message,
              HasSubstr("--name OTHER"));
  EXPECT_EQ(pull_it((folder_.path() / "absent.gguf").string()).error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace maru::hub
