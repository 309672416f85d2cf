// Files written so that a crash leaves all of one or nothing, and errors that name the file and the cause.
//
// Thread safety: pure functions on the file system.
#ifndef CAIRN_STORAGE_FILE_UTIL_H_
#define CAIRN_STORAGE_FILE_UTIL_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace cairn::storage {

// From errno: NOT_FOUND, ALREADY_EXISTS, PERMISSION_DENIED, RESOURCE_EXHAUSTED for a full disk, else
// INTERNAL.
absl::Status ErrnoStatus(int error, std::string_view doing, std::string_view path);

// A file descriptor that closes itself.
class FileDescriptor {
 public:
  explicit FileDescriptor(int fd = -1) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;
  ~FileDescriptor();

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }

 private:
  int fd_;
};

absl::Status WriteAll(int fd, std::string_view bytes, std::string_view path);
absl::StatusOr<std::string> ReadFile(const std::string& path);

// Makes what was created, renamed or removed in a directory durable.
absl::Status SyncDirectory(const std::string& path);

// Replaces the file by one with these bytes, durably: temporary file, sync, rename, sync of the directory.
absl::Status WriteFileDurably(const std::string& path, std::string_view bytes);

}  // namespace cairn::storage

#endif  // CAIRN_STORAGE_FILE_UTIL_H_
