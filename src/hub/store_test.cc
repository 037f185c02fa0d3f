#include "hub/store.h"

#include <gmock/gmock.h>

#include <set>

#include "base/files.h"
#include "hub/catalogue.h"
#include "hub/test_wheels.h"

namespace maru::hub {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

class StoreTest : public testing::Test {
 protected:
  StoreTest() : store_(*Store::open(folder_.path())) {}
  void put(const std::string& file, const std::string& content = "GGUF") {
    ASSERT_TRUE(write_file_atomic(folder_.path() / "models" / file, content).ok());
  }
  TestFolder folder_;
  Store store_;
};

TEST_F(StoreTest, ListsFilesWithAndWithoutSidecar) {
  put("zebra.gguf");
  put("smollm2-135m.gguf");
  put("note.txt");
  const auto models = store_.list();
  ASSERT_TRUE(models.ok());
  ASSERT_EQ(models->size(), 2u);
  EXPECT_EQ((*models)[0].name, "smollm2:135m");  // a catalogue name, by its file
  EXPECT_EQ((*models)[1].name, "zebra");
}

TEST_F(StoreTest, FindsByNameAliasFileNameAndPath) {
  put("smollm2-135m.gguf");
  for (const char* name :
       {"smollm2:135m", "smollm2", "SmolLM2:135M", "smollm2-135m", "smollm2:135m:latest"}) {
    const auto model = store_.find(name);
    ASSERT_TRUE(model.ok()) << name;
    EXPECT_EQ(model->name, "smollm2:135m");
  }
  const auto by_path = store_.find((folder_.path() / "models/smollm2-135m.gguf").string());
  ASSERT_TRUE(by_path.ok());
  EXPECT_EQ(by_path->bytes, 4u);
}

TEST_F(StoreTest, NamesTheNearestAndThePullCommand) {
  put("zebra.gguf");
  const auto typo = store_.find("zebar");
  ASSERT_FALSE(typo.ok());
  EXPECT_EQ(typo.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(typo.error().message, HasSubstr("did you mean zebra?"));
  const auto absent = store_.find("smollm2");
  ASSERT_FALSE(absent.ok());
  EXPECT_THAT(absent.error().message, HasSubstr("maru pull smollm2:135m"));
}

TEST_F(StoreTest, RefusesFoldersAndOddNames) {
  EXPECT_EQ(store_.find("").error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(store_.find(std::string("a\0b", 3)).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(store_.find(folder_.path().string()).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(store_.find(std::string(5000, 'x')).error().code, ErrorCode::kIo);
}

TEST_F(StoreTest, ASidecarThatIsNoJsonHarmsNothing) {
  put("zebra.gguf");
  put("zebra.json", "{\"name\": 5, ");
  EXPECT_EQ(store_.find("zebra")->name, "zebra");
  put("zebra.json", R"({"name": "../../other", "bytes": "x"})");
  EXPECT_EQ(store_.find("zebra")->name, "zebra");
}

TEST_F(StoreTest, AnOldSidecarWithTheCataloguesHashWasCheckedByIt) {
  const CatalogueEntry& entry = *find_in_catalogue("smollm2:135m");
  put("smollm2-135m.gguf");
  put("smollm2-135m.json", R"({"name": "smollm2:135m", "sha256": ")" + entry.sha256 + "\"}");
  EXPECT_EQ(store_.find("smollm2")->checked, "catalogue");
  put("smollm2-135m.json", R"({"name": "smollm2:135m", "sha256": "00"})");
  EXPECT_EQ(store_.find("smollm2")->checked, "");
}

TEST_F(StoreTest, RemovesAModelWithItsSidecarAndNothingElse) {
  put("zebra.gguf");
  put("zebra.json", "{}");
  const fs::path foreign = folder_.path() / "foreign.gguf";
  ASSERT_TRUE(write_file_atomic(foreign, "GGUF").ok());
  EXPECT_TRUE(store_.remove("zebra").ok());
  EXPECT_FALSE(fs::exists(folder_.path() / "models/zebra.json"));
  EXPECT_EQ(store_.remove("zebra").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(store_.remove(foreign.string()).error().code, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(fs::exists(foreign));
}

TEST_F(StoreTest, RefusesAHomeOfANewerMaru) {
  ASSERT_TRUE(write_file_atomic(folder_.path() / "version", "2\n").ok());
  EXPECT_EQ(Store::open(folder_.path()).error().code, ErrorCode::kUnsupported);
}

TEST_F(StoreTest, SaysWhereItCannotWrite) {
  ASSERT_TRUE(write_file_atomic(folder_.path() / "file", "").ok());
  const auto store = Store::open(folder_.path() / "file" / "home");
  ASSERT_FALSE(store.ok());
  EXPECT_THAT(store.error().message, HasSubstr("MARU_HOME"));
}

TEST(NearestNames, BestFirstAndNothingFarAway) {
  const std::vector<std::string> names = {"gemma3:270m", "smollm2:135m", "qwen2.5-coder:1.5b"};
  EXPECT_THAT(nearest_names("smollm2:135", names, 3), ElementsAre("smollm2:135m"));
  EXPECT_THAT(nearest_names("coder", names, 3), ElementsAre("qwen2.5-coder:1.5b"));
  EXPECT_THAT(nearest_names("xyzxyzxyz", names, 3), ElementsAre());
}

TEST(Catalogue, EveryEntryCanBeTrustedAndNamed) {
  std::set<std::string> names;
  for (const CatalogueEntry& entry : catalogue()) {
    SCOPED_TRACE(entry.name);
    EXPECT_TRUE(entry.sha256.empty() || entry.sha256.size() == 64);
    EXPECT_GT(entry.bytes, 0u);
    EXPECT_FALSE(entry.sources.empty());
    EXPECT_FALSE(entry.quantization.empty());
    EXPECT_FALSE(entry.licence_terms.empty());
    EXPECT_TRUE(entry.licence_url.starts_with("https://"));
    EXPECT_TRUE(check_name(entry.name).ok());
    EXPECT_TRUE(names.insert(file_stem(entry.name)).second);
    for (const std::string& alias : entry.aliases) EXPECT_TRUE(names.insert(alias).second);
    EXPECT_EQ(find_in_catalogue(entry.name), &entry);
    for (const std::string& alias : entry.aliases) EXPECT_EQ(find_in_catalogue(alias), &entry);
    for (const Source& source : entry.sources) {
      if (std::holds_alternative<PackageParts>(source)) {
        EXPECT_FALSE(entry.sha256.empty());  // all the trust there is in third parties' packages
      }
      const auto* hub = std::get_if<HubReference>(&source);
      if (hub == nullptr) continue;
      const auto typed = parse_reference(reference_text(*hub));
      ASSERT_TRUE(typed.ok());
      EXPECT_EQ(*typed, Reference(*hub));
      EXPECT_EQ(hub->file.empty() ? hub->quantization : quantization_of(hub->file),
                entry.quantization);
    }
  }
  EXPECT_EQ(default_model().name, "qwen2.5-coder:1.5b");
  EXPECT_EQ(find_in_catalogue("no-such"), nullptr);
}

TEST(Sha256, KnownDigests) {  // FIPS 180-4 examples
  EXPECT_EQ(sha256_of(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

}  // namespace
}  // namespace maru::hub
