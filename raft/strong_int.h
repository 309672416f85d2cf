// An integer with a meaning: Term, LogIndex, NodeId, Revision, … A swapped argument does not compile.
//
// Thread safety: a value type.
#ifndef CAIRN_RAFT_STRONG_INT_H_
#define CAIRN_RAFT_STRONG_INT_H_

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <ostream>

namespace cairn {

template <typename Tag, typename Rep>
class StrongInt {
 public:
  using rep = Rep;

  constexpr StrongInt() = default;
  constexpr explicit StrongInt(Rep value) : value_(value) {}

  constexpr Rep value() const { return value_; }
  constexpr explicit operator bool() const { return value_ != 0; }

  constexpr auto operator<=>(const StrongInt&) const = default;

  // Distance arithmetic: a position plus a count is a position, a position minus a position is a count.
  constexpr StrongInt operator+(Rep count) const { return StrongInt(value_ + count); }
  constexpr StrongInt operator-(Rep count) const { return StrongInt(value_ - count); }
  constexpr Rep operator-(StrongInt other) const { return value_ - other.value_; }
  constexpr StrongInt& operator++() {
    ++value_;
    return *this;
  }
  constexpr StrongInt& operator+=(Rep count) {
    value_ += count;
    return *this;
  }

  template <typename H>
  friend H AbslHashValue(H state, StrongInt i) {
    return H::combine(std::move(state), i.value_);
  }
  friend std::ostream& operator<<(std::ostream& out, StrongInt i) { return out << i.value_; }

 private:
  Rep value_ = 0;
};

}  // namespace cairn

template <typename Tag, typename Rep>
struct std::hash<cairn::StrongInt<Tag, Rep>> {
  size_t operator()(cairn::StrongInt<Tag, Rep> i) const { return std::hash<Rep>()(i.value()); }
};

#endif  // CAIRN_RAFT_STRONG_INT_H_
