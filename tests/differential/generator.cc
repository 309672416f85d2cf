#include "tests/differential/generator.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "tests/differential/translate.h"

namespace cairn::differential {
namespace {

constexpr int kKeys = 150;
constexpr int kMaxOps = 128;
// Long enough not to run out within a run: what expiry does is tested apart, because its moment is the
// server's.
constexpr int64_t kShortestTtlSeconds = 3600;

// The end of the keys that begin with `prefix`.
std::string PrefixEnd(std::string prefix) {
  while (!prefix.empty() && prefix.back() == '\xff') prefix.pop_back();
  if (prefix.empty()) return std::string(1, '\0');
  prefix.back() = static_cast<char>(prefix.back() + 1);
  return prefix;
}

}  // namespace

std::string Generator::Key() {
  const int64_t n = std::min(Below(kKeys), Below(kKeys));  // some keys are hot
  switch (n) {
    case 140:
      return view_.prefix + std::string("\0", 1);
    case 141:
      return view_.prefix + std::string("a\0b", 3);
    case 142:
      return view_.prefix + "\xff\xff";
    case 143:
      return view_.prefix + "\xf0\x28\x8c";  // no valid UTF-8
    case 144:
      return view_.prefix + std::string(1000, 'l');
    default:
      return absl::StrCat(view_.prefix, std::string(1, static_cast<char>('a' + n % 7)), "/", n);
  }
}

std::string Generator::Value() {
  const int64_t kind = Below(100);
  if (kind < 5) return "";
  if (kind < 40) return std::to_string(Below(10));  // often equal
  if (kind < 97) return std::string(1 + Below(60), static_cast<char>(Below(256)));
  return std::string(Below(8192), static_cast<char>('a' + Below(26)));
}

int64_t Generator::PastRevision() {
  return view_.oldest + Below(std::max<int64_t>(1, view_.revision - view_.oldest + 1));
}

int64_t Generator::Revision() {
  const int64_t kind = Below(100);
  if (kind < 80) return std::max<int64_t>(1, PastRevision());
  if (kind < 86) return std::max<int64_t>(1, view_.oldest);
  if (kind < 92) return std::max<int64_t>(1, view_.oldest - 1 - Below(20));
  if (kind < 94) return -Below(5);
  if (kind < 96) return std::numeric_limits<int64_t>::max();
  if (whole_store() && kind < 98) return view_.revision + 1;
  return Translator::kFuture + Below(100);
}

std::pair<std::string, std::string> Generator::Span() {
  const std::string zero(1, '\0');
  const std::string everything_end = whole_store() ? zero : PrefixEnd(view_.prefix);
  const int64_t kind = Below(100);
  if (kind < 1) return {"", Chance(500) ? "" : zero};
  if (kind < 40) return {Key(), ""};
  if (kind < 50) {
    const std::string prefix = view_.prefix + static_cast<char>('a' + Below(7));
    return {prefix, PrefixEnd(prefix)};
  }
  if (kind < 60) return {Key(), Key()};  // often empty, because the end comes first
  if (kind < 75) {
    std::string a = Key(), b = Key();
    if (b < a) std::swap(a, b);
    return {a, b};
  }
  if (kind < 85) return {Key(), everything_end};
  return {whole_store() ? zero : view_.prefix, everything_end};
}

etcdserverpb::RangeRequest Generator::Range() {
  etcdserverpb::RangeRequest range;
  const auto [key, end] = Span();
  range.set_key(key);
  range.set_range_end(end);
  if (Chance(300)) range.set_limit(Chance(30) ? -1 : Chance(900) ? 1 + Below(20) : Below(1000000));
  if (Chance(250)) range.set_revision(Revision());
  if (Chance(500)) {
    range.set_sort_order(static_cast<etcdserverpb::RangeRequest::SortOrder>(Below(3)));
    range.set_sort_target(static_cast<etcdserverpb::RangeRequest::SortTarget>(Below(5)));
  }
  range.set_serializable(Chance(300));
  range.set_keys_only(Chance(150));
  range.set_count_only(Chance(100));
  if (Chance(80)) range.set_min_mod_revision(PastRevision());
  if (Chance(80)) range.set_max_mod_revision(PastRevision());
  if (Chance(80)) range.set_min_create_revision(PastRevision());
  if (Chance(80)) range.set_max_create_revision(PastRevision());
  return range;
}

etcdserverpb::PutRequest Generator::Put(bool may_ignore) {
  etcdserverpb::PutRequest put;
  put.set_key(Chance(4) ? "" : Key());
  put.set_value(Value());
  if (Chance(200)) put.set_lease(Lease());
  put.set_prev_kv(Chance(250));
  if (may_ignore && Chance(120)) {
    put.set_ignore_value(true);
    if (!Chance(200)) put.clear_value();
  }
  if (may_ignore && Chance(120)) {
    put.set_ignore_lease(true);
    if (!Chance(300)) put.clear_lease();
  }
  return put;
}

etcdserverpb::DeleteRangeRequest Generator::Delete() {
  etcdserverpb::DeleteRangeRequest remove;
  if (Chance(500)) {
    remove.set_key(Chance(10) ? "" : Key());
  } else {
    auto [key, end] = Span();
    // Wiping everything each time would leave little to test.
    if (Chance(900) && key.size() <= view_.prefix.size() + 1)
      std::tie(key, end) = std::pair(Key(), std::string());
    remove.set_key(key);
    remove.set_range_end(end);
  }
  remove.set_prev_kv(Chance(400));
  return remove;
}

etcdserverpb::Compare Generator::Comparison() {
  etcdserverpb::Compare compare;
  compare.set_result(static_cast<etcdserverpb::Compare::CompareResult>(Below(4)));
  compare.set_target(static_cast<etcdserverpb::Compare::CompareTarget>(Below(5)));
  if (Chance(5)) compare.set_result(static_cast<etcdserverpb::Compare::CompareResult>(4 + Below(100)));
  if (Chance(5)) compare.set_target(static_cast<etcdserverpb::Compare::CompareTarget>(5 + Below(100)));
  if (Chance(300)) {
    const auto [key, end] = Span();
    compare.set_key(key);
    compare.set_range_end(end);
  } else {
    compare.set_key(Key());
  }
  if (Chance(50)) return compare;  // nothing to compare with
  // Now and then what is given does not fit the target.
  switch (Chance(50) ? Below(5) : static_cast<int64_t>(compare.target())) {
    case etcdserverpb::Compare::VERSION:
      compare.set_version(Below(4));
      break;
    case etcdserverpb::Compare::CREATE:
      compare.set_create_revision(Chance(400) ? 0 : PastRevision());
      break;
    case etcdserverpb::Compare::MOD:
      compare.set_mod_revision(Chance(400) ? 0 : PastRevision());
      break;
    case etcdserverpb::Compare::VALUE:
      compare.set_value(Value());
      break;
    default:
      compare.set_lease(Chance(500) ? 0 : Lease());
      // Ids that the servers chose have no common order.
      if (compare.lease() != 0 && compare.result() != etcdserverpb::Compare::EQUAL) {
        compare.set_result(etcdserverpb::Compare::NOT_EQUAL);
      }
  }
  return compare;
}

void Generator::AddOp(int depth, bool deletes,
                      google::protobuf::RepeatedPtrField<etcdserverpb::RequestOp>* ops) {
  etcdserverpb::RequestOp* op = ops->Add();
  const int64_t kind = Below(100);
  if (kind < 1) return;  // no operation in it
  if (kind < 40) {
    *op->mutable_request_range() = Range();
  } else if (kind < 75) {
    *op->mutable_request_put() = Put(/*may_ignore=*/!deletes);
  } else if (kind < 88) {
    if (deletes) {
      *op->mutable_request_delete_range() = Delete();
    } else {
      *op->mutable_request_range() = Range();
    }
  } else if (depth < 3) {
    *op->mutable_request_txn() = Txn(depth + 1, deletes);
  } else {
    *op->mutable_request_put() = Put(/*may_ignore=*/!deletes);
  }
}

etcdserverpb::TxnRequest Generator::Txn(int depth, bool deletes) {
  etcdserverpb::TxnRequest txn;
  for (int64_t n = Below(4); n > 0; --n) *txn.add_compare() = Comparison();
  if (txn.compare_size() == 1 && Chance(600)) txn.mutable_compare()->Clear();
  for (int64_t n = Below(4); n > 0; --n) AddOp(depth, deletes, txn.mutable_success());
  for (int64_t n = Below(4); n > 0; --n) AddOp(depth, deletes, txn.mutable_failure());
  return txn;
}

etcdserverpb::LeaseGrantRequest Generator::Grant() {
  etcdserverpb::LeaseGrantRequest grant;
  const int64_t kind = Below(100);
  grant.set_ttl(kind < 4    ? 9'000'000'001 + Below(1000)
                : kind < 6  ? std::numeric_limits<int64_t>::max()
                : kind < 10 ? 9'000'000'000
                            : kShortestTtlSeconds + Below(1000000));
  if (Chance(350)) return grant;
  if (!view_.leases.empty() && Chance(150)) {
    grant.set_id(Lease());
  } else {
    grant.set_id(view_.lease_base + 1 + Below(int64_t{1} << 30));
    if (whole_store() && Chance(50)) grant.set_id(-grant.id());
  }
  return grant;
}

int64_t Generator::Lease() {
  if (view_.leases.empty() || Chance(30))
    return view_.lease_base + (int64_t{1} << 31) + Below(1000);  // unknown
  return view_.leases[Below(static_cast<int64_t>(view_.leases.size()))];
}

Call Generator::Read() {
  if (!Chance(120)) return MakeCall(Range());
  etcdserverpb::TxnRequest txn;
  for (int64_t n = Below(3); n > 0; --n) *txn.add_compare() = Comparison();
  const bool serializable = Chance(500);
  for (int64_t n = 1 + Below(3); n > 0; --n) {
    etcdserverpb::RequestOp* op = Chance(500) ? txn.add_success() : txn.add_failure();
    *op->mutable_request_range() = Range();
    if (serializable) op->mutable_request_range()->set_serializable(true);
  }
  return MakeCall(std::move(txn));
}

Call Generator::Write() {
  const int64_t kind = Below(1000);
  if (kind < 430) return MakeCall(Put(/*may_ignore=*/true));
  if (kind < 560) return MakeCall(Delete());
  if (kind < 840) return MakeCall(Txn(1, /*deletes=*/Chance(700)));
  if (kind < 847) {  // more operations than a transaction may have, in any of its lists
    etcdserverpb::TxnRequest txn;
    const int64_t list = Below(3);
    const int64_t count = Chance(500) ? kMaxOps : kMaxOps + 1;
    for (int64_t i = 0; i < count; ++i) {
      if (list == 0) *txn.add_compare() = Comparison();
      if (list == 0) continue;
      etcdserverpb::RequestOp* op = list == 1 ? txn.add_success() : txn.add_failure();
      op->mutable_request_range()->set_key(Key());
    }
    return MakeCall(std::move(txn));
  }
  if (kind < 850) {  // around the size limits of the server and of the transport
    etcdserverpb::PutRequest put;
    put.set_key(Key());
    const int64_t size = Chance(300) ? 1'000'000 : Chance(600) ? 1'600'000 : 3'000'000;
    put.set_value(std::string(size, 'x'));
    return MakeCall(std::move(put));
  }
  const bool revoke = view_.leases.size() >= 40 || Chance(400);
  if (!revoke) return MakeCall(Grant());
  etcdserverpb::LeaseRevokeRequest request;
  request.set_id(Lease());
  return MakeCall(std::move(request));
}

Call Generator::Inform() {
  const int64_t kind = Below(100);
  if (kind < 20) {
    etcdserverpb::LeaseTimeToLiveRequest request;
    request.set_id(Lease());
    request.set_keys(Chance(700));
    return MakeCall(std::move(request));
  }
  // Side by side the list would show the others' leases too.
  if (kind < 34 && whole_store()) return MakeCall(etcdserverpb::LeaseLeasesRequest());
  if (kind < 50) {
    etcdserverpb::MemberListRequest request;
    request.set_linearizable(Chance(800));
    return MakeCall(std::move(request));
  }
  if (kind < 63 || !whole_store()) return MakeCall(etcdserverpb::StatusRequest());
  if (kind < 80) {
    etcdserverpb::HashKVRequest request;
    if (Chance(900)) request.set_revision(Revision());
    return MakeCall(std::move(request));
  }
  // Compactions that fail; the one that works is the session's, at revisions that are no deletion's.
  etcdserverpb::CompactionRequest request;
  const bool past = view_.oldest > 10 && Chance(500);
  request.set_revision(past ? view_.oldest - Below(5) : Translator::kFuture + Below(10));
  request.set_physical(Chance(600));
  return MakeCall(std::move(request));
}

etcdserverpb::WatchCreateRequest Generator::Watch() {
  etcdserverpb::WatchCreateRequest create;
  const auto [key, end] = Span();
  // An empty key watches from the first key on, which is more than a session with a prefix may see.
  create.set_key(key.empty() && !whole_store() ? Key() : key);
  create.set_range_end(key.empty() && !whole_store() ? "" : end);
  create.set_progress_notify(Chance(300));
  create.set_prev_kv(Chance(400));
  create.set_fragment(Chance(300));
  const int64_t start = Below(100);
  const bool whole = whole_store();
  if (start < 35) {
    create.set_start_revision(std::max<int64_t>(1, PastRevision()));
  } else if (start < 42 && view_.oldest > 1) {
    create.set_start_revision(std::max<int64_t>(1, view_.oldest - 1 - Below(10)));
  } else if (start < 50 && whole) {
    create.set_start_revision(view_.revision + 1 + Below(300));
  }
  if (Chance(250)) create.add_filters(etcdserverpb::WatchCreateRequest::NOPUT);
  // With both filters a watch that has to catch up could never be seen to have done so.
  const bool both = create.filters_size() > 0 && create.start_revision() != 0;
  if (!both && Chance(350)) create.add_filters(etcdserverpb::WatchCreateRequest::NODELETE);
  return create;
}

}  // namespace cairn::differential
