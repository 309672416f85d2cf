// Workloads on streams: keep-alives and watches.
#include <algorithm>
#include <cstring>
#include <iostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "benchmarks/load/pool.h"
#include "benchmarks/load/workload.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/wire_format_lite.h"
#include "proto/etcd/rpc.pb.h"

namespace cairn::load {
namespace {

constexpr auto kPatience = std::chrono::seconds(120);    // for setting up
constexpr auto kDrain = std::chrono::milliseconds(500);  // for the last events of a run

Clock::time_point After(double seconds) {
  return Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

class KeepAlive {
 public:
  KeepAlive(const Options& options, Meter& meter)
      : options_(options), meter_(meter), places_(options.outstanding) {}

  absl::Status Run() {
    if (absl::Status status = pool_.Connect(options_.endpoints, options_.connections); !status.ok())
      return status;
    etcdserverpb::LeaseGrantRequest grant;
    grant.set_ttl(3600);
    for (size_t place = 0; place < places_.size(); ++place) {
      pool_[place].Call("/etcdserverpb.Lease/LeaseGrant", grant.SerializeAsString(),
                        [this, place](int code, std::string_view reply) { Granted(place, code, reply); });
    }
    if (!reactor_.Run(Clock::now() + kPatience)) return absl::DeadlineExceededError("no leases");
    if (meter_.errors() > 0) return absl::UnavailableError("leases were not granted");
    const bool by_number = options_.operations > 0;
    if (by_number) meter_.Open();
    for (size_t place = 0; place < places_.size(); ++place) Open(place);
    if (!by_number) {
      reactor_.Run(After(options_.warmup_s));
      meter_.Open();
    }
    reactor_.Run(by_number ? Clock::now() + kPatience : After(options_.seconds));
    meter_.Close();
    return absl::OkStatus();
  }

 private:
  struct Place {
    std::string message;
    int64_t lease = 0;
    Channel::StreamId stream = 0;
    Clock::time_point began;
  };

  void Granted(size_t place, int code, std::string_view reply) {
    etcdserverpb::LeaseGrantResponse response;
    if (code != kOk || !response.ParseFromArray(reply.data(), static_cast<int>(reply.size())))
      meter_.CountError();
    etcdserverpb::LeaseKeepAliveRequest request;
    request.set_id(response.id());
    places_[place].lease = response.id();
    places_[place].message = request.SerializeAsString();
    if (++granted_ == places_.size()) reactor_.Stop();
  }

  void Open(size_t place) {
    places_[place].stream = pool_[place].OpenStream(
        "/etcdserverpb.Lease/LeaseKeepAlive",
        [this, place](std::string_view message) { Answered(place, message); },
        [this](int) { meter_.CountError(); });
    Begin(place);
  }

  void Begin(size_t place) {
    places_[place].began = Clock::now();
    pool_[place].Send(places_[place].stream, places_[place].message);
  }

  void Answered(size_t place, std::string_view message) {
    meter_.Time(Clock::now() - places_[place].began);
    meter_.Count(1);
    if (!response_.ParseFromArray(message.data(), static_cast<int>(message.size())) || response_.ttl() <= 0 ||
        response_.id() != places_[place].lease) {
      meter_.CountError();
    }
    if (options_.operations > 0 && meter_.operations() >= options_.operations) return reactor_.Stop();
    Begin(place);
  }

  const Options& options_;
  Meter& meter_;
  Reactor reactor_;
  Pool pool_{reactor_};
  std::vector<Place> places_;
  size_t granted_ = 0;
  etcdserverpb::LeaseKeepAliveResponse response_;
};

// What a WatchResponse holds, without making objects of it: a thousand watchers are a thousand messages a
// put.
struct WatchMessage {
  bool created = false;
  bool cancelled = false;
  uint64_t events = 0;
  std::string_view last_event;
};

bool Scan(std::string_view bytes, WatchMessage* message) {
  using google::protobuf::internal::WireFormatLite;
  google::protobuf::io::CodedInputStream in(reinterpret_cast<const uint8_t*>(bytes.data()),
                                            static_cast<int>(bytes.size()));
  while (const uint32_t tag = in.ReadTag()) {
    const int field = WireFormatLite::GetTagFieldNumber(tag);
    if (WireFormatLite::GetTagWireType(tag) == WireFormatLite::WIRETYPE_LENGTH_DELIMITED) {
      uint32_t size = 0;
      const void* at = nullptr;
      int left = 0;
      if (!in.ReadVarint32(&size)) return false;
      if (field == etcdserverpb::WatchResponse::kEventsFieldNumber) {
        in.GetDirectBufferPointer(&at, &left);
        if (left < static_cast<int>(size)) return false;
        ++message->events;
        message->last_event = {static_cast<const char*>(at), size};
      }
      if (!in.Skip(static_cast<int>(size))) return false;
      continue;
    }
    uint64_t value = 0;
    if (!in.ReadVarint64(&value)) return false;
    if (field == etcdserverpb::WatchResponse::kCreatedFieldNumber) message->created = value != 0;
    if (field == etcdserverpb::WatchResponse::kCanceledFieldNumber) message->cancelled = value != 0;
  }
  return true;
}

class Watch {
 public:
  Watch(const Options& options, Meter& meter) : options_(options), meter_(meter) {}

  absl::Status Run() {
    if (absl::Status status = pool_.Connect(options_.endpoints, options_.connections); !status.ok())
      return status;
    if (absl::Status status =
            putters_.Connect(options_.endpoints, static_cast<int>(options_.endpoints.size()));
        !status.ok()) {
      return status;
    }
    OpenWatches();
    if (!reactor_.Run(Clock::now() + kPatience))
      return absl::DeadlineExceededError("not all watches were made");
    if (options_.rate < 0) return HoldWatches();

    put_.set_key(kKey);
    const bool by_number = options_.operations > 0;
    if (by_number) meter_.Open();
    if (options_.rate > 0) {
      next_put_ = Clock::now();
      PutAtRate();
    } else {
      for (int i = 0; i < options_.outstanding; ++i) PutAgain();
    }
    if (!by_number) {
      reactor_.Run(After(options_.warmup_s));
      meter_.Open();
    }
    reactor_.Run(by_number ? Clock::now() + kPatience : After(options_.seconds));
    meter_.Close();
    stopping_ = true;
    reactor_.Run(Clock::now() + kDrain);
    meter_.Set("puts", static_cast<double>(puts_));
    if (by_number && meter_.operations() < options_.operations) {
      return absl::DeadlineExceededError("not all events were delivered");
    }
    return absl::OkStatus();
  }

 private:
  static constexpr const char* kKey = "watched/key";

  void OpenWatches() {
    std::vector<Channel::StreamId> streams;
    for (int i = 0; i < options_.streams; ++i) {
      streams.push_back(pool_[static_cast<size_t>(i)].OpenStream(
          "/etcdserverpb.Watch/Watch", [this](std::string_view message) { Received(message); },
          [this](int) { meter_.CountError(); }));
    }
    for (int i = 0; i < options_.watchers; ++i) {
      const size_t stream = static_cast<size_t>(i) % streams.size();
      etcdserverpb::WatchRequest request;
      // Idle watches are each of a key of its own, as clients that watch their own configuration have.
      request.mutable_create_request()->set_key(options_.rate < 0 ? absl::StrCat("idle/watch/", i) : kKey);
      pool_[stream].Send(streams[stream], request.SerializeAsString());
    }
  }

  absl::Status HoldWatches() {
    std::cout << "ready" << std::endl;
    while (std::cin.get() != std::char_traits<char>::eof()) {
    }
    return absl::OkStatus();
  }

  void Received(std::string_view bytes) {
    WatchMessage message;
    if (!Scan(bytes, &message) || message.cancelled) meter_.CountError();
    if (message.created && ++created_ == options_.watchers) reactor_.Stop();
    if (message.events == 0) return;
    meter_.Count(message.events);
    // One time in 16: the value of the newest event ends with the moment of its put.
    Clock::rep sent = 0;
    if (++messages_ % 16 == 0 && message.last_event.size() > sizeof(sent)) {
      const size_t at = message.last_event.rfind(kMark);
      if (at != std::string_view::npos && at + kMark.size() + sizeof(sent) <= message.last_event.size()) {
        std::memcpy(&sent, message.last_event.data() + at + kMark.size(), sizeof(sent));
        meter_.Time(Clock::now().time_since_epoch() - Clock::duration(sent));
      }
    }
    if (options_.operations > 0 && meter_.operations() >= options_.operations) reactor_.Stop();
  }

  void Put(Channel::OnDone done) {
    const Clock::rep now = Clock::now().time_since_epoch().count();
    std::string value(options_.value_bytes - kMark.size() - sizeof(now), 'v');
    value.append(kMark);
    value.append(reinterpret_cast<const char*>(&now), sizeof(now));
    put_.set_value(std::move(value));
    putters_[puts_++].Call("/etcdserverpb.KV/Put", put_.SerializeAsString(), std::move(done));
  }

  void PutAgain() {
    if (stopping_) return;
    Put([this](int code, std::string_view) {
      if (code != kOk) return meter_.CountError();
      PutAgain();
    });
  }

  void PutAtRate() {
    if (stopping_) return;
    Put([this](int code, std::string_view) {
      if (code != kOk) meter_.CountError();
    });
    next_put_ +=
        std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(1 / options_.rate));
    reactor_.At(next_put_, [this] { PutAtRate(); });
  }

  static constexpr std::string_view kMark = "@put-at:";

  const Options& options_;
  Meter& meter_;
  Reactor reactor_;
  Pool pool_{reactor_};
  Pool putters_{reactor_};
  etcdserverpb::PutRequest put_;
  Clock::time_point next_put_;
  int created_ = 0;
  uint64_t messages_ = 0;
  uint64_t puts_ = 0;
  bool stopping_ = false;
};

}  // namespace

absl::Status RunKeepAlive(const Options& options, Meter& meter) { return KeepAlive(options, meter).Run(); }

absl::Status RunWatch(const Options& options, Meter& meter) { return Watch(options, meter).Run(); }

}  // namespace cairn::load
