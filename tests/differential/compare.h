// Whether two systems gave the same answer. What may differ, and why, is in expected_differences.h.
#ifndef CAIRN_TESTS_DIFFERENTIAL_COMPARE_H_
#define CAIRN_TESTS_DIFFERENTIAL_COMPARE_H_

#include <string>

#include "tests/differential/call.h"
#include "tests/differential/translate.h"

namespace cairn::differential {

// Empty when the outcomes of `call` (in the session's names) agree; else both, normalised, in text.
std::string CompareOutcomes(const Call& call, const Outcome& etcd, const Outcome& cairn,
                            const Translator& names);

}  // namespace cairn::differential

#endif  // CAIRN_TESTS_DIFFERENTIAL_COMPARE_H_
