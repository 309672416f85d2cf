#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/file_blob_store.h"
#include "storage/memory_blob_store.h"
#include "tests/unit/storage/storage_test_util.h"

namespace cairn::storage {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

enum class Form { kMemory, kFile };

class BlobStoreContractTest : public testing::TestWithParam<Form> {
 protected:
  BlobStoreContractTest() { Reopen(); }

  void Reopen() {
    if (GetParam() == Form::kMemory) {
      store_ = std::make_unique<MemoryBlobStore>(&disk_);
    } else {
      store_ = FileBlobStore::Open(directory_.path() + "/index").value();
    }
  }
  void Write(std::string_view name, std::string_view content) {
    auto writer = store_->Create(name).value();
    ASSERT_TRUE(writer->Append(content.substr(0, content.size() / 2)).ok());
    ASSERT_TRUE(writer->Append(content.substr(content.size() / 2)).ok());
    ASSERT_TRUE(writer->Commit().ok());
  }

  TempDir directory_;
  MemoryBlobDisk disk_;
  std::unique_ptr<BlobStore> store_;
};

TEST_P(BlobStoreContractTest, CommittedBlobsComeBack) {
  Write("b", "second");
  Write("a", "");
  Reopen();
  EXPECT_THAT(store_->List(), ElementsAre("a", "b"));
  EXPECT_EQ(store_->Read("a").value(), "");
  EXPECT_EQ(store_->Read("b").value(), "second");
}

TEST_P(BlobStoreContractTest, BlobIsInvisibleUntilItsCommitAndDroppedWithoutOne) {
  {
    auto writer = store_->Create("a").value();
    ASSERT_TRUE(writer->Append("half").ok());
    EXPECT_THAT(store_->List(), IsEmpty());
    EXPECT_TRUE(absl::IsNotFound(store_->Read("a").status()));
  }
  Reopen();
  EXPECT_THAT(store_->List(), IsEmpty());
}

TEST_P(BlobStoreContractTest, CommitReplacesTheBlobOfThatName) {
  Write("a", "old");
  Write("a", "new");
  EXPECT_EQ(store_->Read("a").value(), "new");
}

TEST_P(BlobStoreContractTest, RemovedBlobsStayAway) {
  Write("a", "x");
  ASSERT_TRUE(store_->Remove("a").ok());
  Reopen();
  EXPECT_TRUE(absl::IsNotFound(store_->Read("a").status()));
  EXPECT_TRUE(absl::IsNotFound(store_->Remove("a")));
}

INSTANTIATE_TEST_SUITE_P(Forms, BlobStoreContractTest, testing::Values(Form::kMemory, Form::kFile),
                         [](const auto& info) { return info.param == Form::kMemory ? "Memory" : "File"; });

class FileBlobStoreTest : public testing::Test {
 protected:
  FileBlobStoreTest() : store_(FileBlobStore::Open(directory_.path()).value()) {
    auto writer = store_->Create("a").value();
    EXPECT_TRUE(writer->Append("content").ok());
    EXPECT_TRUE(writer->Commit().ok());
  }
  void Overwrite(size_t at, const std::string& bytes) {
    std::fstream file(directory_.path() + "/a", std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(at));
    file << bytes;
  }

  TempDir directory_;
  std::unique_ptr<FileBlobStore> store_;
};

TEST_F(FileBlobStoreTest, DamageIsFound) {
  Overwrite(18, "X");
  EXPECT_TRUE(absl::IsDataLoss(store_->Read("a").status()));
}

TEST_F(FileBlobStoreTest, CutFileIsFound) {
  std::filesystem::resize_file(directory_.path() + "/a", 20);
  EXPECT_TRUE(absl::IsDataLoss(store_->Read("a").status()));
}

TEST_F(FileBlobStoreTest, NewerFormatIsRefused) {
  Overwrite(8, std::string("\x09\0\0\0", 4));
  const absl::Status status = store_->Read("a").status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("format 9, this cairnd reads up to 1"));
}

TEST_F(FileBlobStoreTest, NamesThatLeaveTheDirectoryAreRefused) {
  for (const char* name : {"", "../a", ".hidden", "a/b", "a.tmp"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(store_->Create(name).status())) << name;
    EXPECT_TRUE(absl::IsInvalidArgument(store_->Read(name).status())) << name;
  }
}

TEST_F(FileBlobStoreTest, LeftoverTemporaryFilesAreRemovedAtOpening) {
  std::ofstream(directory_.path() + "/b.tmp") << "half";
  store_ = FileBlobStore::Open(directory_.path()).value();
  EXPECT_FALSE(std::filesystem::exists(directory_.path() + "/b.tmp"));
  EXPECT_THAT(store_->List(), ElementsAre("a"));
}

}  // namespace
}  // namespace cairn::storage
