// Unary calls in a closed loop.
#include <algorithm>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "benchmarks/load/pool.h"
#include "benchmarks/load/workload.h"
#include "proto/etcd/rpc.pb.h"

namespace cairn::load {
namespace {

constexpr std::string_view kRange = "/etcdserverpb.KV/Range";
constexpr std::string_view kPut = "/etcdserverpb.KV/Put";
constexpr std::string_view kTxn = "/etcdserverpb.KV/Txn";
constexpr std::string_view kLeaseGrant = "/etcdserverpb.Lease/LeaseGrant";
constexpr uint64_t kFillAtOnce = 100;  // puts in one transaction
constexpr int64_t kPage = 500;
constexpr auto kPatience = std::chrono::seconds(120);  // with a number of operations instead of a time

// What one place does again and again.
class Operation {
 public:
  virtual ~Operation() = default;
  virtual std::string_view path() const = 0;
  // False: there is nothing more to do.
  virtual bool Next(size_t place, std::string* message) = 0;
  // False: the answer is not what was asked for.
  virtual bool Check(size_t place, std::string_view reply) = 0;
};

class Keys {
 public:
  explicit Keys(const Options& options)
      : count_(options.keys), bytes_(options.key_bytes), random_(options.seed) {}
  uint64_t Any() { return random_() % count_; }
  std::string Name(uint64_t i) const {
    return absl::StrFormat("key/%0*d", static_cast<int>(bytes_) - 4, static_cast<int64_t>(i));
  }
  std::string Value(size_t bytes) {
    std::string value(bytes, '\0');
    for (char& c : value) c = static_cast<char>(random_());
    return value;
  }

 private:
  const uint64_t count_;
  const size_t bytes_;
  std::mt19937_64 random_;
};

class Put final : public Operation {
 public:
  explicit Put(const Options& options) : keys_(options) {
    request_.set_value(keys_.Value(options.value_bytes));
  }
  std::string_view path() const override { return kPut; }
  bool Next(size_t, std::string* message) override {
    request_.set_key(keys_.Name(keys_.Any()));
    return request_.SerializeToString(message);
  }
  bool Check(size_t, std::string_view reply) override { return !reply.empty(); }

 private:
  Keys keys_;
  etcdserverpb::PutRequest request_;
};

// Of keys that a fill has put.
class Get final : public Operation {
 public:
  Get(const Options& options, bool serializable) : keys_(options) { request_.set_serializable(serializable); }
  std::string_view path() const override { return kRange; }
  bool Next(size_t, std::string* message) override {
    request_.set_key(keys_.Name(keys_.Any()));
    return request_.SerializeToString(message);
  }
  bool Check(size_t, std::string_view reply) override { return reply.size() > 64; }  // has a value

 private:
  Keys keys_;
  etcdserverpb::RangeRequest request_;
};

// All keys: how many, or how many and the first page.
class WholeRange final : public Operation {
 public:
  WholeRange(const Options& options, bool count_only) : keys_(options.keys) {
    request_.set_key(std::string("\0", 1));
    request_.set_range_end(std::string("\0", 1));
    request_.set_count_only(count_only);
    if (!count_only) request_.set_limit(kPage);
  }
  std::string_view path() const override { return kRange; }
  bool Next(size_t, std::string* message) override { return request_.SerializeToString(message); }
  bool Check(size_t, std::string_view reply) override {
    etcdserverpb::RangeResponse range;
    const uint64_t page = request_.count_only() ? 0 : std::min<uint64_t>(keys_, static_cast<uint64_t>(kPage));
    return range.ParseFromArray(reply.data(), static_cast<int>(reply.size())) &&
           range.count() >= static_cast<int64_t>(keys_) && static_cast<uint64_t>(range.kvs_size()) == page;
  }

 private:
  const uint64_t keys_;
  etcdserverpb::RangeRequest request_;
};

// Puts every key once.
class Fill final : public Operation {
 public:
  explicit Fill(const Options& options) : keys_(options), end_(options.keys) {
    for (uint64_t i = 0; i < kFillAtOnce; ++i)
      request_.add_success()->mutable_request_put()->set_value(keys_.Value(options.value_bytes));
  }
  std::string_view path() const override { return kTxn; }
  bool Next(size_t, std::string* message) override {
    if (next_ >= end_) return false;
    for (etcdserverpb::RequestOp& op : *request_.mutable_success()) {
      // The last transaction puts its last key more than once, which a transaction may not: so it is cut.
      if (next_ >= end_) break;
      op.mutable_request_put()->set_key(keys_.Name(next_++));
    }
    const auto cut = static_cast<int>((next_ - 1) % kFillAtOnce) + 1;
    if (cut < request_.success_size())
      request_.mutable_success()->DeleteSubrange(cut, request_.success_size() - cut);
    return request_.SerializeToString(message);
  }
  bool Check(size_t, std::string_view reply) override { return !reply.empty(); }

 private:
  Keys keys_;
  const uint64_t end_;
  uint64_t next_ = 0;
  etcdserverpb::TxnRequest request_;
};

// Puts a key if nobody has changed it since this place last did. Places have keys of their own, so that every
// one but the first of a key succeeds.
class CompareAndPut final : public Operation {
 public:
  explicit CompareAndPut(const Options& options)
      : per_place_(std::max<uint64_t>(1, options.keys / static_cast<uint64_t>(options.outstanding))),
        random_(options.seed),
        revisions_(per_place_ * static_cast<uint64_t>(options.outstanding)),
        current_(static_cast<size_t>(options.outstanding)) {
    auto* compare = request_.add_compare();
    compare->set_result(etcdserverpb::Compare::EQUAL);
    compare->set_target(etcdserverpb::Compare::MOD);
    request_.add_success()->mutable_request_put()->set_value(Keys(options).Value(options.value_bytes));
    request_.add_failure()->mutable_request_range();
  }
  std::string_view path() const override { return kTxn; }
  bool Next(size_t place, std::string* message) override {
    const uint64_t key = place * per_place_ + random_() % per_place_;
    current_[place] = key;
    const std::string name = absl::StrFormat("cas/%012d", static_cast<int64_t>(key));
    request_.mutable_compare(0)->set_key(name);
    request_.mutable_compare(0)->set_mod_revision(revisions_[key]);
    request_.mutable_success(0)->mutable_request_put()->set_key(name);
    request_.mutable_failure(0)->mutable_request_range()->set_key(name);
    return request_.SerializeToString(message);
  }
  bool Check(size_t place, std::string_view reply) override {
    if (!response_.ParseFromArray(reply.data(), static_cast<int>(reply.size()))) return false;
    int64_t& revision = revisions_[current_[place]];
    if (response_.succeeded()) {
      revision = response_.header().revision();
      return true;
    }
    // An earlier run has put this key.
    if (revision != 0 || response_.responses_size() != 1) return false;
    const etcdserverpb::RangeResponse& range = response_.responses(0).response_range();
    if (range.kvs_size() != 1) return false;
    revision = range.kvs(0).mod_revision();
    return true;
  }

 private:
  const uint64_t per_place_;
  std::mt19937_64 random_;
  std::vector<int64_t> revisions_;  // of each key, as last seen
  std::vector<uint64_t> current_;   // the key each place works on
  etcdserverpb::TxnRequest request_;
  etcdserverpb::TxnResponse response_;
};

class LeaseGrant final : public Operation {
 public:
  std::string_view path() const override { return kLeaseGrant; }
  bool Next(size_t, std::string* message) override {
    etcdserverpb::LeaseGrantRequest request;
    request.set_ttl(3600);
    return request.SerializeToString(message);
  }
  bool Check(size_t, std::string_view reply) override { return !reply.empty(); }
};

std::unique_ptr<Operation> MakeOperation(const Options& options) {
  const std::string& name = options.workload;
  if (name == "put") return std::make_unique<Put>(options);
  if (name == "get-serializable") return std::make_unique<Get>(options, true);
  if (name == "get-linearizable") return std::make_unique<Get>(options, false);
  if (name == "count") return std::make_unique<WholeRange>(options, true);
  if (name == "page") return std::make_unique<WholeRange>(options, false);
  if (name == "fill") return std::make_unique<Fill>(options);
  if (name == "txn") return std::make_unique<CompareAndPut>(options);
  return std::make_unique<LeaseGrant>();
}

class ClosedLoop {
 public:
  ClosedLoop(const Options& options, Meter& meter)
      : options_(options),
        meter_(meter),
        operation_(MakeOperation(options)),
        started_at_(static_cast<size_t>(options.outstanding)) {}

  absl::Status Run() {
    if (absl::Status status = pool_.Connect(options_.endpoints, options_.connections); !status.ok())
      return status;
    const bool by_number = options_.operations > 0 || options_.workload == "fill";
    if (by_number) meter_.Open();
    for (size_t place = 0; place < started_at_.size(); ++place) Begin(place);
    if (by_number) {
      const bool done = reactor_.Run(Clock::now() + kPatience * 10);
      meter_.Close();
      return done ? absl::OkStatus() : absl::DeadlineExceededError("the operations take too long");
    }
    reactor_.Run(After(options_.warmup_s));
    meter_.Open();
    reactor_.Run(After(options_.seconds));
    meter_.Close();
    return absl::OkStatus();
  }

 private:
  static Clock::time_point After(double seconds) {
    return Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  }

  void Begin(size_t place) {
    const bool enough = options_.operations > 0 && begun_ >= options_.operations;
    if (enough || !operation_->Next(place, &message_)) {
      if (under_way_ == 0) reactor_.Stop();
      return;
    }
    ++begun_;
    ++under_way_;
    started_at_[place] = Clock::now();
    // In a loop with one call at a time, the calls go to the members in turn as well.
    const size_t channel = started_at_.size() < pool_.size() ? begun_ : place;
    pool_[channel].Call(operation_->path(), message_,
                        [this, place](int code, std::string_view reply) { Finish(place, code, reply); });
  }

  void Finish(size_t place, int code, std::string_view reply) {
    --under_way_;
    meter_.Time(Clock::now() - started_at_[place]);
    meter_.Count(1);
    if (code != kOk || !operation_->Check(place, reply)) {
      meter_.CountError();
      if (code == kUnavailable) return reactor_.Stop();  // the connection is gone: the run is worth nothing
    }
    Begin(place);
  }

  const Options& options_;
  Meter& meter_;
  Reactor reactor_;
  Pool pool_{reactor_};
  std::unique_ptr<Operation> operation_;
  std::vector<Clock::time_point> started_at_;
  std::string message_;
  uint64_t begun_ = 0;
  uint64_t under_way_ = 0;
};

}  // namespace

absl::Status RunCalls(const Options& options, Meter& meter) { return ClosedLoop(options, meter).Run(); }

}  // namespace cairn::load
