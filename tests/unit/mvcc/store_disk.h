// What a store of the tests stands on, in the two forms of the storage interfaces, with faults for both:
// writes refused, reads that find nothing in memory, power cuts.
//
// Thread safety: one thread, but for the queue of what is posted.
#ifndef CAIRN_TESTS_UNIT_MVCC_STORE_DISK_H_
#define CAIRN_TESTS_UNIT_MVCC_STORE_DISK_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "storage/blob_store.h"
#include "storage/state_engine.h"
#include "tests/unit/storage/manual_loop.h"

namespace cairn::storage {

enum class Form { kMemory, kRocksDb };
inline std::string NameOf(Form form) { return form == Form::kMemory ? "Memory" : "RocksDb"; }

class StoreDisk {
 public:
  virtual ~StoreDisk() = default;

  // One at a time. To be destroyed before Crash, Close and this.
  virtual std::unique_ptr<StateEngine> OpenEngine() = 0;
  virtual std::unique_ptr<BlobStore> OpenBlobs() = 0;
  // A crash is CutPower, the end of the engine (nothing of which reaches the disk), then Crash: it decides
  // what the disk keeps of the writes since the last flush.
  virtual void CutPower() = 0;
  virtual void Crash(uint64_t seed) = 0;

  // The bytes of a blob as they stand on the disk.
  virtual std::vector<std::string> BlobNames() = 0;  // sorted
  virtual void EditBlob(const std::string& name, const std::function<void(std::string*)>& edit) = 0;

  PostFn post() { return loop_.post(); }
  void Drain() {
    while (loop_.waiting() > 0) loop_.RunOne();
  }
  void WaitAndDrain() {
    loop_.RunOne();
    Drain();
  }
  void Close() { Drain(); }

  bool refuse = false;  // writes answer UNAVAILABLE
  bool cold = false;    // reads of memory alone answer UNAVAILABLE

 private:
  ManualLoop loop_;
};

std::unique_ptr<StoreDisk> MakeStoreDisk(Form form);

}  // namespace cairn::storage

#endif  // CAIRN_TESTS_UNIT_MVCC_STORE_DISK_H_
