#include "tests/differential/compare.h"

#include "absl/strings/str_cat.h"
#include "tests/differential/expected_differences.h"

namespace cairn::differential {
namespace {

Outcome Normalised(const Call& call, const Outcome& outcome, Side side, const Translator& names) {
  Outcome copy = outcome;
  copy.response.reset(outcome.response->New());
  copy.response->CopyFrom(*outcome.response);
  names.FromSide(side, copy.response.get());
  SetAsideExpected(/*keep_header_revision=*/!names.rank_revisions(), &copy);
  SetAsideTies(*call.request, copy.response.get());
  return copy;
}

}  // namespace

std::string CompareOutcomes(const Call& call, const Outcome& etcd, const Outcome& cairn,
                            const Translator& names) {
  const Outcome a = Normalised(call, etcd, kEtcd, names);
  const Outcome b = Normalised(call, cairn, kCairn, names);
  SetAsideRunningTime(a.response.get(), b.response.get());
  const bool same = a.code == b.code && a.text == b.text &&
                    a.response->SerializeAsString() == b.response->SerializeAsString();
  if (same) return "";
  return absl::StrCat("  request: ", Describe(call), "\n  etcd:    ", Describe(a),
                      "\n  cairn:   ", Describe(b), "\n");
}

}  // namespace cairn::differential
