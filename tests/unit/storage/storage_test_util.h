// Small helpers of the storage tests.
#ifndef CAIRN_TESTS_UNIT_STORAGE_STORAGE_TEST_UTIL_H_
#define CAIRN_TESTS_UNIT_STORAGE_STORAGE_TEST_UTIL_H_

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "raft/types.h"
#include "storage/log_store.h"

namespace cairn::storage {

// A directory that goes away with the test.
class TempDir {
 public:
  TempDir() {
    std::string name = (std::filesystem::temp_directory_path() / "cairn-storage-XXXXXX").string();
    path_ = mkdtemp(name.data());
  }
  ~TempDir() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline raft::Entry MakeEntry(uint64_t index, uint64_t term, std::string data = "data") {
  return {raft::Term(term), raft::LogIndex(index), raft::EntryType::kCommand,
          data.empty() ? nullptr : std::make_shared<const std::string>(std::move(data))};
}

inline LogWrite MakeWrite(uint64_t first, uint64_t last, uint64_t term, const std::string& data = "data") {
  LogWrite write;
  for (uint64_t index = first; index <= last; ++index) write.entries.push_back(MakeEntry(index, term, data));
  return write;
}

inline std::vector<uint64_t> IndexesOf(const std::vector<raft::Entry>& entries) {
  std::vector<uint64_t> indexes;
  for (const raft::Entry& entry : entries) indexes.push_back(entry.index.value());
  return indexes;
}

}  // namespace cairn::storage

#endif  // CAIRN_TESTS_UNIT_STORAGE_STORAGE_TEST_UTIL_H_
