#include "tests/differential/streams.h"

#include <google/protobuf/text_format.h>

#include <chrono>

#include "absl/strings/str_cat.h"
#include "tests/differential/expected_differences.h"

namespace cairn::differential {
namespace {

constexpr auto kPatience = std::chrono::seconds(15);

std::string Print(const Message& message) {
  google::protobuf::TextFormat::Printer printer;
  printer.SetSingleLineMode(true);
  std::string text;
  printer.PrintToString(message, &text);
  return text;
}

std::string Shorten(const std::string& text) {
  return text.size() > 2000 ? text.substr(0, 2000) + "…" : text;
}

}  // namespace

std::string WatchMatcher::Match() {
  for (auto& [watch_id, queues] : queues_) {
    if (std::string difference = MatchOne(watch_id, &queues); !difference.empty()) return difference;
  }
  return "";
}

std::string WatchMatcher::MatchOne(int64_t watch_id, Queues* queues) {
  auto& etcd = (*queues)[kEtcd];
  auto& cairn = (*queues)[kCairn];
  while (!etcd.empty() && !cairn.empty()) {
    WatchItem& a = etcd.front();
    WatchItem& b = cairn.front();
    if (a.content == b.content) {
      if (a.kind == WatchItem::kEvent) {
        ++events_;
        last_revision_[watch_id] = a.revision;
      }
      if (a.kind == WatchItem::kProgress) ++progress_count_;
      if (a.kind == WatchItem::kCanceled) ++canceled_count_;
      if (a.kind == WatchItem::kCanceled) canceled_.erase(watch_id);
      if (a.kind == WatchItem::kCreated) {
        last_revision_[watch_id] = 0;
        created_.push_back(a);
      }
      etcd.pop_front();
      cairn.pop_front();
      continue;
    }
    const bool excused = canceled_.count(watch_id) > 0;
    if (excused && a.kind == WatchItem::kEvent && b.kind == WatchItem::kCanceled) {
      etcd.pop_front();
    } else if (excused && b.kind == WatchItem::kEvent && a.kind == WatchItem::kCanceled) {
      cairn.pop_front();
    } else {
      return absl::StrCat("  watch ", watch_id, " differs\n  etcd:    ", Shorten(a.content),
                          "\n  cairn:   ", Shorten(b.content), "\n");
    }
  }
  return "";
}

bool WatchMatcher::empty() const {
  for (const auto& [watch_id, queues] : queues_) {
    if (!queues[kEtcd].empty() || !queues[kCairn].empty()) return false;
  }
  return true;
}

std::string WatchMatcher::Leftovers() const {
  std::string text;
  for (const auto& [watch_id, queues] : queues_) {
    for (Side side : kSides) {
      if (queues[side].empty()) continue;
      absl::StrAppend(&text, "  watch ", watch_id, ": only ", side == kEtcd ? "etcd" : "cairn", " sent ",
                      queues[side].size(), " of these: ", Shorten(queues[side].front().content), "\n");
    }
  }
  return text;
}

int64_t WatchMatcher::last_revision(int64_t watch_id) const {
  const auto it = last_revision_.find(watch_id);
  return it == last_revision_.end() ? 0 : it->second;
}

WatchPair::WatchPair(const Target& etcd, int etcd_member, const Target& cairn, int cairn_member,
                     const Translator* names)
    : names_(*names), cairn_member_(cairn_member) {
  streams_[kEtcd].stub = etcdserverpb::Watch::NewStub(etcd.channel(etcd_member));
  streams_[kCairn].stub = etcdserverpb::Watch::NewStub(cairn.channel(cairn_member));
  for (Stream& stream : streams_) {
    stream.rpc = stream.stub->Watch(&stream.context);
    stream.reader = std::thread([this, &stream] {
      etcdserverpb::WatchResponse response;
      while (stream.rpc->Read(&response)) {
        std::lock_guard lock(mutex_);
        stream.arrived.push_back(std::move(response));
        arrived_.notify_one();
        response.Clear();
      }
      std::lock_guard lock(mutex_);
      stream.ended = true;
      arrived_.notify_one();
    });
  }
}

WatchPair::~WatchPair() {
  for (Stream& stream : streams_) stream.context.TryCancel();
  for (Stream& stream : streams_) {
    stream.reader.join();
    stream.rpc->Finish();
  }
}

void WatchPair::Send(const etcdserverpb::WatchRequest& request) {
  if (request.has_cancel_request()) matcher_.CanceledByClient(request.cancel_request().watch_id());
  for (Side side : kSides) {
    etcdserverpb::WatchRequest translated = request;
    names_.ToSide(side, &translated);
    streams_[side].rpc->Write(translated);  // a broken stream is noticed by its reader
  }
}

std::string WatchPair::Take(Side side, const etcdserverpb::WatchResponse& response) {
  const int64_t id = response.watch_id();
  Outcome normalised;
  auto head = std::make_shared<etcdserverpb::WatchResponse>(response);
  head->clear_events();
  head->clear_fragment();
  names_.FromSide(side, head.get());
  normalised.response = head;
  SetAsideExpected(/*keep_header_revision=*/!names_.rank_revisions(), &normalised);
  if (response.fragment()) ++fragments_[side];
  if (response.created()) matcher_.Add(side, {WatchItem::kCreated, Print(*head), id});
  if (response.canceled() && !response.created()) {
    matcher_.Add(side, {WatchItem::kCanceled, Print(*head), id, 0, response.compact_revision() != 0});
  }
  if (response.events().empty() && !response.created() && !response.canceled()) {
    matcher_.Add(side, {WatchItem::kProgress, Print(*head), id});
  }
  if (response.created() || response.canceled()) streams_[side].last.erase(id);
  if (response.events().empty()) return "";

  auto& [last_revision, in_parts] = streams_[side].last[id];
  const char* name = side == kEtcd ? "etcd" : "cairn";
  if (!in_parts && response.events(0).kv().mod_revision() <= last_revision) {
    return absl::StrCat("  ", name, " split or repeated revision ", last_revision, " of watch ", id, "\n");
  }
  for (const mvccpb::Event& event : response.events()) {
    const int64_t raw = event.kv().mod_revision();
    if (raw > response.header().revision()) {
      return absl::StrCat("  ", name, " sent an event ahead of its header on watch ", id, ": ", Print(event),
                          "\n");
    }
    last_revision = raw;
    mvccpb::Event copy = event;
    names_.FromSide(side, &copy);
    matcher_.Add(side, {WatchItem::kEvent, Print(copy), id, copy.kv().mod_revision()});
  }
  in_parts = response.fragment();
  return "";
}

std::string WatchPair::Match() {
  std::array<std::vector<etcdserverpb::WatchResponse>, 2> taken;
  {
    std::lock_guard lock(mutex_);
    for (Side side : kSides) {
      taken[side].swap(streams_[side].arrived);
      if (streams_[side].ended && taken[side].empty()) {
        return absl::StrCat("  ", side == kEtcd ? "etcd" : "cairn", " ended the watch stream\n");
      }
    }
  }
  for (Side side : kSides) {
    for (const etcdserverpb::WatchResponse& response : taken[side]) {
      if (std::string difference = Take(side, response); !difference.empty()) return difference;
    }
  }
  return matcher_.Match();
}

template <typename Done>
std::string WatchPair::WaitFor(const char* what, const Done& done) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (true) {
    if (std::string difference = Match(); !difference.empty()) return difference;
    if (done()) return "";
    std::unique_lock lock(mutex_);
    const bool more = arrived_.wait_until(lock, deadline, [this] {
      return !streams_[kEtcd].arrived.empty() || !streams_[kCairn].arrived.empty() || streams_[kEtcd].ended ||
             streams_[kCairn].ended;
    });
    if (!more) return absl::StrCat("  no ", what, " on both sides in time\n", matcher_.Leftovers());
  }
}

std::string WatchPair::WaitForCreated(int64_t count) {
  return WaitFor("created answer", [&] { return static_cast<int64_t>(matcher_.created().size()) >= count; });
}

std::string WatchPair::WaitForProgress(int64_t count) {
  return WaitFor("progress answer", [&] { return matcher_.progress_count() >= count; });
}

std::string WatchPair::WaitForCanceled(int64_t count) {
  return WaitFor("canceled answer", [&] { return matcher_.canceled_count() >= count; });
}

std::string WatchPair::WaitForEvent(int64_t watch_id, int64_t revision) {
  return WaitFor("awaited event", [&] { return matcher_.last_revision(watch_id) >= revision; });
}

std::string WatchPair::WaitUntilEmpty() {
  return WaitFor("equal events", [&] { return matcher_.empty(); });
}

KeepAlivePair::KeepAlivePair(const Target& etcd, int etcd_member, const Target& cairn, int cairn_member) {
  streams_[kEtcd].stub = etcdserverpb::Lease::NewStub(etcd.channel(etcd_member));
  streams_[kCairn].stub = etcdserverpb::Lease::NewStub(cairn.channel(cairn_member));
  for (Stream& stream : streams_) stream.rpc = stream.stub->LeaseKeepAlive(&stream.context);
}

KeepAlivePair::~KeepAlivePair() {
  for (Stream& stream : streams_) {
    stream.context.TryCancel();
    stream.rpc->Finish();
  }
}

std::array<Outcome, 2> KeepAlivePair::Ask(std::array<int64_t, 2> ids) {
  std::array<Outcome, 2> outcomes;
  for (Side side : kSides) {
    etcdserverpb::LeaseKeepAliveRequest request;
    request.set_id(ids[side]);
    streams_[side].rpc->Write(request);
  }
  for (Side side : kSides) {
    auto response = std::make_shared<etcdserverpb::LeaseKeepAliveResponse>();
    const bool ok = streams_[side].rpc->Read(response.get());
    outcomes[side].code = ok ? grpc::StatusCode::OK : grpc::StatusCode::UNAVAILABLE;
    if (!ok) outcomes[side].text = "the keep-alive stream ended";
    outcomes[side].response = response;
  }
  return outcomes;
}

}  // namespace cairn::differential
