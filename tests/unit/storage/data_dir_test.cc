#include "storage/data_dir.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/storage/manual_loop.h"
#include "tests/unit/storage/storage_test_util.h"

namespace cairn::storage {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

class DataDirTest : public testing::Test {
 protected:
  absl::StatusOr<Storage> Open(Identity identity) {
    StorageOptions options;
    options.path = path_;
    options.identity = identity;
    options.log.post = loop_.post();
    options.state.post = loop_.post();
    return OpenStorage(std::move(options));
  }
  std::string Refusal(Identity identity) {
    const absl::Status status = Open(identity).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    return std::string(status.message());
  }

  TempDir directory_;
  const std::string path_ = directory_.path() + "/data";
  const Identity identity_{0xc1, raft::NodeId(0xa1), 77};
  ManualLoop loop_;
};

TEST_F(DataDirTest, FirstStartMakesAllPartsAndKeepsTheIncarnation) {
  ASSERT_TRUE(Open(identity_).ok());
  Identity later = identity_;
  later.incarnation_id = 78;
  auto storage = Open(later);
  ASSERT_TRUE(storage.ok()) << storage.status();
  EXPECT_EQ(storage->directory->identity(), identity_);
  EXPECT_EQ(storage->log->state_directory(), "state.1");
  EXPECT_FALSE(fs::exists(path_ + "/INITIALISING"));
  struct stat info;
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
}

TEST_F(DataDirTest, RefusesADirectoryInUseAndNamesTheProcess) {
  auto storage = Open(identity_);
  ASSERT_TRUE(storage.ok());
  EXPECT_THAT(Refusal(identity_),
              HasSubstr(absl::StrCat(path_, " is in use by another cairnd (pid ", getpid(), ")")));
}

TEST_F(DataDirTest, RefusesDataOfAnotherCluster) {
  ASSERT_TRUE(Open(identity_).ok());
  EXPECT_THAT(Refusal({0xc2, identity_.member_id, 1}),
              AllOf(HasSubstr("00000000000000c1"), HasSubstr("00000000000000c2"), HasSubstr("cluster")));
}

TEST_F(DataDirTest, RefusesDataOfAnotherMember) {
  ASSERT_TRUE(Open(identity_).ok());
  EXPECT_THAT(Refusal({identity_.cluster_id, raft::NodeId(0xa2), 1}),
              AllOf(HasSubstr("00000000000000a1"), HasSubstr("00000000000000a2"), HasSubstr("member")));
}

TEST_F(DataDirTest, RefusesANewerFormat) {
  ASSERT_TRUE(Open(identity_).ok());
  std::ofstream(path_ + "/identity") << "cairn data directory\nformat: 7\nwhatever it holds\n";
  EXPECT_THAT(Refusal(identity_),
              HasSubstr("was written by a newer version: format 7, this cairnd reads up to 1"));
}

TEST_F(DataDirTest, RefusesADamagedIdentity) {
  ASSERT_TRUE(Open(identity_).ok());
  std::string text = ReadFile(path_ + "/identity").value();
  text[text.find("a1\n")] = 'b';
  std::ofstream(path_ + "/identity") << text;
  EXPECT_TRUE(absl::IsDataLoss(Open(identity_).status()));
}

TEST_F(DataDirTest, RefusesToStartWithoutAPartThatWasThere) {
  for (const char* part : {"state.1/db", "raft", "identity"}) {
    fs::remove_all(path_);
    ASSERT_TRUE(Open(identity_).ok());
    fs::remove_all(path_ + "/" + part);
    EXPECT_THAT(Refusal(identity_), AllOf(HasSubstr(part), HasSubstr("is missing although")));
  }
}

TEST_F(DataDirTest, AFirstStartCutShortIsBegunAnew) {
  ASSERT_TRUE(Open(identity_).ok());
  // As after a crash before the last step, with one part half made.
  std::ofstream(path_ + "/INITIALISING") << "";
  fs::remove(path_ + "/raft/CURRENT");
  auto storage = Open(identity_);
  ASSERT_TRUE(storage.ok()) << storage.status();
  EXPECT_FALSE(fs::exists(path_ + "/INITIALISING"));
}

TEST_F(DataDirTest, LeftoverStateDirectoriesAreRemoved) {
  ASSERT_TRUE(Open(identity_).ok());
  fs::create_directories(path_ + "/state.2/db");
  ASSERT_TRUE(Open(identity_).ok());
  EXPECT_FALSE(fs::exists(path_ + "/state.2"));
  EXPECT_TRUE(fs::exists(path_ + "/state.1"));
}

}  // namespace
}  // namespace cairn::storage
