// Invariants as code: CAIRN_CHECK(condition) << "why" ends the process with file, line and message when the
// condition does not hold. Going on after a broken invariant would spread the damage.
//
// CAIRN_DCHECK is the same in debug builds and costs nothing in release builds: for what is too dear to
// check. Neither is for input from outside; that is refused with a Status.
//
// Thread safety: any thread.
#ifndef CAIRN_RAFT_CHECK_H_
#define CAIRN_RAFT_CHECK_H_

#include <ostream>
#include <sstream>

namespace cairn::internal {

// Collects the message of a failed check; its destructor prints it to stderr and aborts.
class CheckFailure {
 public:
  CheckFailure(const char* file, int line, const char* condition);
  CheckFailure(const CheckFailure&) = delete;
  CheckFailure& operator=(const CheckFailure&) = delete;
  [[noreturn]] ~CheckFailure();

  std::ostream& stream() { return stream_; }

 private:
  std::ostringstream stream_;
};

// Gives both branches of the macro's conditional the type void; binds weaker than <<, stronger than ?:.
struct Voidify {
  void operator&(std::ostream&) const {}
};

}  // namespace cairn::internal

#define CAIRN_CHECK(condition)                         \
  __builtin_expect(static_cast<bool>(condition), true) \
      ? (void)0                                        \
      : ::cairn::internal::Voidify() &                 \
            ::cairn::internal::CheckFailure(__FILE__, __LINE__, #condition).stream()

#ifdef NDEBUG
// Never evaluated, but compiled, so that the names in it stay right.
#define CAIRN_DCHECK(condition) CAIRN_CHECK(true || (condition))
#else
#define CAIRN_DCHECK(condition) CAIRN_CHECK(condition)
#endif

#endif  // CAIRN_RAFT_CHECK_H_
