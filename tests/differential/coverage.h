// Counts what a run has used: every field and enumeration value of the requests, and every error text
// received.
//
// Thread safety: safe; sessions share one.
#ifndef CAIRN_TESTS_DIFFERENTIAL_COVERAGE_H_
#define CAIRN_TESTS_DIFFERENTIAL_COVERAGE_H_

#include <google/protobuf/message.h>

#include <cstdint>
#include <map>
#include <mutex>
#include <string>

namespace cairn::differential {

class Coverage {
 public:
  void AddRequest(const google::protobuf::Message& request);
  void AddError(const std::string& text);
  // For what no single field tells, as "range_end \0".
  void AddForm(const std::string& name);

  std::string Report() const;
  // Options used less often than `options` times and expected error texts met less often than `errors` times,
  // a line each; empty when all were.
  std::string Missing(int64_t options, int64_t errors) const;

 private:
  // Every option the API has, those with 0 uses too.
  std::map<std::string, int64_t> ApiOptions() const;

  mutable std::mutex mutex_;
  std::map<std::string, int64_t> options_;  // "RangeRequest.sort_order=DESCEND" -> uses
  std::map<std::string, int64_t> errors_;
};

}  // namespace cairn::differential

#endif  // CAIRN_TESTS_DIFFERENTIAL_COVERAGE_H_
