#include "tests/differential/session.h"

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "tests/differential/compare.h"

namespace cairn::differential {
namespace {

constexpr int64_t kMaxReadsAtOnce = 12;
constexpr size_t kMaxWatches = 40;
constexpr int64_t kFirstPickedWatchId = 100000;

// Whether the answer tells of the member's own state, which may lag behind the others'.
bool AnswersLocally(const Message& request) {
  if (const auto* range = dynamic_cast<const etcdserverpb::RangeRequest*>(&request))
    return range->serializable();
  if (const auto* txn = dynamic_cast<const etcdserverpb::TxnRequest*>(&request)) {
    // Local when all of its operations are serializable ranges, so also when it has none.
    if (txn->success().empty() && txn->failure().empty()) return true;
    for (const auto* ops : {&txn->success(), &txn->failure()}) {
      for (const auto& op : *ops) {
        if (op.has_request_range() && op.request_range().serializable()) return true;
      }
    }
    return false;
  }
  const std::string& name = request.GetDescriptor()->name();
  return name == "LeaseTimeToLiveRequest" || name == "LeaseLeasesRequest" || name == "StatusRequest" ||
         name == "HashKVRequest" || name == "LeaseKeepAliveRequest" || name == "CompactionRequest";
}

struct Effect {
  bool changed = false;
  bool deleted = false;
};

Effect EffectOf(const Message& response) {
  Effect effect;
  if (dynamic_cast<const etcdserverpb::PutResponse*>(&response) != nullptr) effect.changed = true;
  if (const auto* removed = dynamic_cast<const etcdserverpb::DeleteRangeResponse*>(&response)) {
    effect.changed = effect.deleted = removed->deleted() > 0;
  }
  // Whether a lease had keys its answer does not tell; taking it for yes costs nothing.
  if (dynamic_cast<const etcdserverpb::LeaseRevokeResponse*>(&response) != nullptr) return {true, true};
  const auto* txn = dynamic_cast<const etcdserverpb::TxnResponse*>(&response);
  if (txn == nullptr) return effect;
  for (const auto& op : txn->responses()) {
    Effect inner;
    if (op.has_response_put()) inner.changed = true;
    if (op.has_response_delete_range()) inner = EffectOf(op.response_delete_range());
    if (op.has_response_txn()) inner = EffectOf(op.response_txn());
    effect.changed |= inner.changed;
    effect.deleted |= inner.deleted;
  }
  return effect;
}

int64_t HeaderRevision(const Message& response) {
  const auto* field = response.GetDescriptor()->FindFieldByName("header");
  if (field == nullptr) return 0;
  const Message& header = response.GetReflection()->GetMessage(response, field);
  return static_cast<const etcdserverpb::ResponseHeader&>(header).revision();
}

}  // namespace

void Differences::Add(const std::string& where, const std::string& what) {
  std::lock_guard lock(mutex_);
  if (++count_ > limit_) return;
  std::fprintf(stderr, "DIFFERENCE at %s\n%s\n", where.c_str(), what.c_str());
}

Session::Session(SessionOptions options, const Target& etcd, const Target& cairn, Coverage* coverage,
                 Differences* differences)
    : options_(std::move(options)),
      etcd_(etcd),
      cairn_(cairn),
      coverage_(*coverage),
      differences_(*differences),
      names_(/*rank_revisions=*/!options_.prefix.empty()),
      generator_(options_.seed, &view_) {
  view_.prefix = options_.prefix;
  view_.lease_base = options_.lease_base;
  view_.revision = options_.prefix.empty() ? 1 : 0;
  for (int i = 0; i < options_.watch_streams; ++i) {
    const int member = static_cast<int>(generator_.Below(cairn_.members()));
    streams_.push_back(std::make_unique<WatchPair>(etcd_, i % etcd_.members(), cairn_, member, &names_));
    creates_.push_back(0);
    next_watch_id_.push_back(kFirstPickedWatchId);
  }
  for (int i = 0; i < cairn_.members(); ++i) {
    keep_alives_.push_back(std::make_unique<KeepAlivePair>(etcd_, i % etcd_.members(), cairn_, i));
  }
}

Session::~Session() = default;

void Session::Check(const std::string& difference) {
  if (difference.empty()) return;
  differences_.Add(absl::StrCat("operation ", operations_, " of ", options_.name, ", seed ", options_.seed),
                   difference);
}

void Session::Run(int64_t count) {
  for (const int64_t end = operations_ + count; operations_ < end && !differences_.enough();) {
    Step();
    CheckWatches();
  }
  for (auto& stream : streams_) {
    if (!differences_.enough()) Check(stream->WaitUntilEmpty());
  }
}

void Session::Step() {
  const int64_t kind = generator_.Below(1000);
  if (kind < 190) {
    std::vector<Call> reads;
    for (int64_t n = 1 + generator_.Below(kMaxReadsAtOnce); n > 0; --n) reads.push_back(generator_.Read());
    DoReads(reads);
  } else if (kind < 590) {
    Do(generator_.Write());
  } else if (kind < 790) {
    Do(generator_.Inform());
  } else if (kind < 820) {
    KeepAlive();
  } else if (kind < 910) {
    CreateWatch();
  } else if (kind < 955) {
    CancelWatch();
  } else if (kind < 997) {
    RequestProgress();
  } else if (generator_.Chance(200)) {
    LargeCatchUp();
  }
}

int Session::MemberFor(const Call& call) {
  if (!AnswersLocally(*call.request)) return static_cast<int>(generator_.Below(cairn_.members()));
  if (!generator_.Chance(300)) return last_writer_;
  const int member = static_cast<int>(generator_.Below(cairn_.members()));
  CatchUp(member);
  return member;
}

void Session::CatchUp(int cairn_member) {
  etcdserverpb::RangeRequest request;
  request.set_key("catch up");
  request.set_count_only(true);
  Caller caller;
  Outcome outcome;
  caller.Send(cairn_, cairn_member, MakeCall(request), &outcome);
  caller.Wait();
}

void Session::Send(const Call& call, int cairn_member, std::array<Outcome, 2>* outcomes) {
  coverage_.AddRequest(*call.request);
  for (Side side : kSides) {
    Call translated{call.method, std::shared_ptr<Message>(call.request->New())};
    translated.request->CopyFrom(*call.request);
    names_.ToSide(side, translated.request.get());
    const Target& target = side == kEtcd ? etcd_ : cairn_;
    const int member = side == kEtcd ? static_cast<int>(operations_ % etcd_.members()) : cairn_member;
    caller_.Send(target, member, translated, &(*outcomes)[side]);
  }
}

void Session::Finish(const Call& call, std::array<Outcome, 2>* outcomes) {
  if (options_.tamper) options_.tamper(operations_, &(*outcomes)[kCairn]);
  if (options_.trace) {
    std::printf("%s, %lld: %s\n  etcd:  %s\n  cairn: %s\n", options_.name.c_str(),
                static_cast<long long>(operations_), Describe(call).c_str(),
                Describe((*outcomes)[kEtcd]).c_str(), Describe((*outcomes)[kCairn]).c_str());
  }
  NoteEffects(call, *outcomes);
  if (!(*outcomes)[kEtcd].text.empty()) coverage_.AddError((*outcomes)[kEtcd].text);
  Check(CompareOutcomes(call, (*outcomes)[kEtcd], (*outcomes)[kCairn], names_));
  ++operations_;
}

std::array<Outcome, 2> Session::Do(const Call& call) {
  const int member = MemberFor(call);
  std::array<Outcome, 2> outcomes;
  Send(call, member, &outcomes);
  caller_.Wait();
  // Whoever answered has applied what it answered.
  last_writer_ = member;
  Finish(call, &outcomes);
  return outcomes;
}

void Session::DoReads(const std::vector<Call>& calls) {
  std::vector<std::array<Outcome, 2>> outcomes(calls.size());
  std::vector<int> members;
  for (const Call& call : calls) members.push_back(MemberFor(call));
  for (size_t i = 0; i < calls.size(); ++i) Send(calls[i], members[i], &outcomes[i]);
  caller_.Wait();
  for (size_t i = 0; i < calls.size(); ++i) Finish(calls[i], &outcomes[i]);
}

void Session::NoteEffects(const Call& call, const std::array<Outcome, 2>& outcomes) {
  const Outcome& etcd = outcomes[kEtcd];
  const Outcome& cairn = outcomes[kCairn];
  if (etcd.code != grpc::StatusCode::OK || cairn.code != grpc::StatusCode::OK) return;
  const Effect effect = EffectOf(*etcd.response);
  if (effect.changed) {
    view_.revision = names_.AddRevision(HeaderRevision(*etcd.response), HeaderRevision(*cairn.response));
    if (effect.deleted) deletions_.insert(view_.revision);
  }
  if (const auto* granted = dynamic_cast<const etcdserverpb::LeaseGrantResponse*>(etcd.response.get())) {
    names_.AddLease(granted->id(),
                    static_cast<const etcdserverpb::LeaseGrantResponse&>(*cairn.response).id());
    view_.leases.push_back(granted->id());
  } else if (const auto* revoke = dynamic_cast<const etcdserverpb::LeaseRevokeRequest*>(call.request.get())) {
    view_.leases.erase(std::remove(view_.leases.begin(), view_.leases.end(), revoke->id()),
                       view_.leases.end());
  }
}

void Session::KeepAlive() {
  etcdserverpb::LeaseKeepAliveRequest request;
  request.set_id(generator_.Lease());
  const Call call = MakeCall(request);
  coverage_.AddRequest(request);
  const int member = MemberFor(call);
  std::array<int64_t, 2> ids;
  for (Side side : kSides) {
    etcdserverpb::LeaseKeepAliveRequest translated = request;
    names_.ToSide(side, &translated);
    ids[side] = translated.id();
  }
  std::array<Outcome, 2> outcomes = keep_alives_[member]->Ask(ids);
  Finish(call, &outcomes);
}

void Session::CreateWatch() {
  if (watches_.size() >= kMaxWatches) {
    CancelWatch();
    if (differences_.enough()) return;
  }
  const int stream = static_cast<int>(generator_.Below(static_cast<int64_t>(streams_.size())));
  etcdserverpb::WatchRequest request;
  etcdserverpb::WatchCreateRequest& create = *request.mutable_create_request();
  create = generator_.Watch();
  if (generator_.Chance(300)) create.set_watch_id(++next_watch_id_[stream]);
  if (generator_.Chance(150) && !watches_.empty()) {  // most likely taken already
    const Watch& other = watches_[generator_.Below(static_cast<int64_t>(watches_.size()))];
    if (other.stream == stream) create.set_watch_id(other.id);
  }
  const bool compacted = create.start_revision() != 0 && create.start_revision() < view_.oldest;
  const bool from_past = create.start_revision() != 0 && create.start_revision() <= view_.revision;
  const std::string probe = create.key().empty() ? std::string(1, '\0') : create.key();

  WatchPair& pair = *streams_[stream];
  CatchUp(pair.cairn_member());
  coverage_.AddRequest(request);
  const int64_t canceled = pair.matcher().canceled_count();
  pair.Send(request);
  ++operations_;
  const std::string difference = pair.WaitForCreated(++creates_[stream]);
  Check(difference);
  if (!difference.empty()) return;
  const WatchItem& created = pair.matcher().created().back();
  if (created.watch_id < 0) {
    const bool duplicate = created.content.find("duplicate watch ID") != std::string::npos;
    if (duplicate) coverage_.AddError("mvcc: duplicate watch ID provided on the WatchStream");
  } else if (!compacted) {
    watches_.push_back({stream, created.watch_id, probe, !from_past, create.start_revision()});
  } else {
    coverage_.AddForm("watch from a compacted revision");
    Check(pair.WaitForCanceled(canceled + 1));  // which names the compact revision of its moment
  }
  coverage_.AddForm(from_past ? "watch from the past" : "watch from now or later");
}

void Session::CancelWatch() {
  if (watches_.empty()) return;
  const int64_t chosen = generator_.Below(static_cast<int64_t>(watches_.size()));
  const Watch watch = watches_[chosen];
  WatchPair& pair = *streams_[watch.stream];
  etcdserverpb::WatchRequest request;
  const bool unknown = generator_.Chance(100);  // gets no answer
  request.mutable_cancel_request()->set_watch_id(unknown ? 77777 : watch.id);
  CatchUp(pair.cairn_member());
  coverage_.AddRequest(request);
  const int64_t canceled = pair.matcher().canceled_count();
  pair.Send(request);
  ++operations_;
  if (unknown) return;
  watches_.erase(watches_.begin() + chosen);
  Check(pair.WaitForCanceled(canceled + 1));
}

bool Session::WaitsForTheFuture(int stream) const {
  return std::any_of(watches_.begin(), watches_.end(), [&](const Watch& watch) {
    return watch.stream == stream && watch.start > view_.revision;
  });
}

void Session::RequestProgress() {
  const int stream = static_cast<int>(generator_.Below(static_cast<int64_t>(streams_.size())));
  if (WaitsForTheFuture(stream)) return;  // expected_differences.h, 16
  WatchPair& pair = *streams_[stream];
  etcdserverpb::WatchRequest request;
  request.mutable_progress_request();
  CatchUp(pair.cairn_member());
  coverage_.AddRequest(request);
  const int64_t progress = pair.matcher().progress_count();
  pair.Send(request);
  ++operations_;
  Check(pair.WaitForProgress(progress + 1));
}

void Session::LargeCatchUp() {
  const std::string key = view_.prefix + "large";
  etcdserverpb::PutRequest put;
  put.set_key(key);
  int64_t first = 0;
  for (char fill : {'1', '2', '3', '4'}) {
    put.set_value(std::string(900'000, fill));
    Do(MakeCall(put));
    if (first == 0) first = view_.revision;
  }
  if (differences_.enough()) return;
  WatchPair& pair = *streams_[0];
  etcdserverpb::WatchRequest request;
  request.mutable_create_request()->set_key(key);
  request.mutable_create_request()->set_start_revision(first);
  request.mutable_create_request()->set_fragment(generator_.Chance(700));
  request.mutable_create_request()->set_prev_kv(generator_.Chance(500));
  CatchUp(pair.cairn_member());
  coverage_.AddRequest(request);
  pair.Send(request);
  ++operations_;
  std::string difference = pair.WaitForCreated(++creates_[0]);
  if (difference.empty()) {
    const int64_t id = pair.matcher().created().back().watch_id;
    watches_.push_back({0, id, key, true});
    difference = pair.WaitForEvent(id, view_.revision);
  }
  Check(difference);
  put.set_value("small again");
  Do(MakeCall(put));
}

void Session::CheckWatches() {
  for (auto& stream : streams_) Check(stream->Match());
}

void Session::SettleWatches() {
  for (Watch& watch : watches_) {
    if (watch.caught_up || differences_.enough()) continue;
    // Both kinds of event, so that one passes whatever the watch filters.
    etcdserverpb::PutRequest put;
    put.set_key(watch.probe_key);
    Do(MakeCall(put));
    const int64_t revision = view_.revision;
    etcdserverpb::DeleteRangeRequest remove;
    remove.set_key(watch.probe_key);
    Do(MakeCall(remove));
    Check(streams_[watch.stream]->WaitForEvent(watch.id, revision));
    watch.caught_up = true;
  }
  for (auto& stream : streams_) {
    if (!differences_.enough()) Check(stream->WaitUntilEmpty());
  }
}

void Session::NoteCommonRevision(int64_t etcd_revision, int64_t cairn_revision) {
  common_revision_ = names_.AddRevision(etcd_revision, cairn_revision);
  view_.revision = common_revision_;
}

void Session::NoteCompaction() {
  view_.oldest = common_revision_;
  deletions_.erase(deletions_.begin(), deletions_.lower_bound(view_.oldest));
}

void Session::Compact() {
  SettleWatches();
  if (differences_.enough()) return;
  // Half of what there is; the rest stays for reads and watches of the past.
  int64_t revision = view_.oldest + (view_.revision - view_.oldest) / 2;
  while (deletions_.count(revision) > 0) ++revision;
  if (revision <= view_.oldest || revision > view_.revision) return;
  etcdserverpb::CompactionRequest request;
  request.set_revision(revision);
  request.set_physical(generator_.Chance(500));
  Do(MakeCall(request));
  common_revision_ = revision;
  NoteCompaction();
}

void Session::ExpireLeases() {
  SettleWatches();
  WatchPair& pair = *streams_[0];
  etcdserverpb::WatchRequest watch;
  watch.mutable_create_request()->set_key("expire/");
  watch.mutable_create_request()->set_range_end("expire0");
  CatchUp(pair.cairn_member());
  pair.Send(watch);
  ++operations_;
  Check(pair.WaitForCreated(++creates_[0]));
  if (differences_.enough()) return;
  const int64_t id = pair.matcher().created().back().watch_id;
  watches_.push_back({0, id, "expire/", true});

  etcdserverpb::LeaseGrantRequest grant;
  grant.set_ttl(generator_.Below(3) - 1);  // raised to the server's least
  grant.set_id(view_.lease_base + (int64_t{1} << 32) + operations_);
  Do(MakeCall(grant));
  view_.leases.pop_back();  // nobody else uses it
  for (const char* key : {"expire/b", "expire/a", "expire/c"}) {
    etcdserverpb::PutRequest put;
    put.set_key(key);
    put.set_lease(grant.id());
    Do(MakeCall(put));
  }
  if (differences_.enough()) return;
  const int64_t expiry = view_.revision + 1;  // deletes all three at once
  Check(pair.WaitForEvent(id, expiry));
  Check(pair.WaitUntilEmpty());
  last_writer_ = pair.cairn_member();  // the one that is known to have applied the expiry
  view_.revision = names_.AddRevision(expiry, expiry);
  deletions_.insert(expiry);
}

int64_t Session::events() const {
  int64_t sum = 0;
  for (const auto& stream : streams_) sum += stream->matcher().events();
  return sum;
}

std::string Session::WatchSummary() const {
  int64_t created = 0;
  std::array<int64_t, 2> fragments = {0, 0};
  for (const auto& stream : streams_) {
    created += static_cast<int64_t>(stream->matcher().created().size());
    for (Side side : kSides) fragments[side] += stream->fragments()[side];
  }
  return absl::StrCat(created, " watches, ", events(), " events, responses in parts: etcd ", fragments[kEtcd],
                      ", cairn ", fragments[kCairn]);
}

}  // namespace cairn::differential
