#include "tests/simulation/client.h"

#include <algorithm>
#include <utility>

#include "proto/etcd/rpc.pb.h"
#include "raft/check.h"

namespace cairn::sim {

Client::Client(int number, Scheduler& scheduler, uint64_t seed, History& history, MemberPicker pick,
               const Workload& workload)
    : number_(number),
      scheduler_(scheduler),
      dice_(seed),
      history_(history),
      pick_(std::move(pick)),
      workload_(workload) {
  next_lease_ = number * 1'000'000 + 1;
}

void Client::Next() {
  if (finished_) return;
  scheduler_.After(dice_.Between(absl::ZeroDuration(), 2 * workload_.pause), [this] { Step(); });
}

void Client::Step() {
  if (finished_) return;
  Member* member = pick_();
  if (member == nullptr) return Next();
  ++operations_;
  const uint64_t die = dice_.Below(100);
  if (die < 35) return Put(*member);
  if (die < 42) return Delete(*member);
  if (die < 50) return CompareAndPut(*member);
  if (die < 55) return ChangeMany(*member);
  if (die < 85) return Range(*member);
  if (die < 87 && workload_.compact) return Compact(*member);
  if (die < 90 && leases_.size() < 3) return GrantLease(*member, /*kept=*/dice_.Chance(0.8));
  if (die < 91 && dice_.Chance(0.1)) return GrantManyLeases(*member);
  if (die < 97 && !leases_.empty()) return KeepAlive(*member);
  if (die < 98 && !leases_.empty()) return AskTimeToLive(*member);
  if (die < 99 && !leases_.empty()) {
    PutLeaseKey(leases_.front(), static_cast<int>(dice_.Below(kKeysOfLease)), /*attach=*/dice_.Chance(0.5));
    return Put(*member);
  }
  if (!leases_.empty()) return RevokeLease(*member);
  return Put(*member);
}

Outcome Client::OutcomeOf(const storage::Result* result) {
  if (result == nullptr) return Outcome::kUnknown;
  if (result->error == ClientError::kOk) return Outcome::kOk;
  return InfoOf(result->error).retry == Retry::kUnknown ? Outcome::kUnknown : Outcome::kRefused;
}

std::shared_ptr<bool> Client::Begin() {
  busy_ = true;
  return std::make_shared<bool>(false);
}

void Client::End(bool acknowledged) {
  busy_ = false;
  if (acknowledged) ++acknowledged_;
  Next();
}

void Client::Propose(Member& member, internal::Command command,
                     std::function<void(const storage::Result*)> answered) {
  std::shared_ptr<bool> over = Begin();
  auto finish = [this, over, answered = std::move(answered)](const storage::Result* result) {
    if (std::exchange(*over, true)) return;
    if (result != nullptr && result->error == ClientError::kOk) history_.Saw(result->revision.value());
    answered(result);
    End(result != nullptr && result->error == ClientError::kOk);
  };
  scheduler_.After(kPatience, [finish] { finish(nullptr); });
  member.loop().Schedule(
      absl::Microseconds(50), [this, &member, command = std::move(command), finish]() mutable {
        member.node().Propose(std::move(command), [this, &member, finish](storage::Result&& result) {
          if (result.error == ClientError::kOk && result.revision > member.store().revision()) {
            history_.Violate("member " + std::to_string(member.id().value()) + " answers with revision " +
                             std::to_string(result.revision.value()) + " before reads there see it");
          }
          finish(&result);
        });
      });
}

void Client::Put(Member& member) {
  Write write;
  write.key = Key();
  write.value = Value();
  write.floor = history_.seen();
  internal::Command command;
  command.mutable_put()->set_key(write.key);
  command.mutable_put()->set_value(write.value);
  Propose(member, std::move(command), [this, write](const storage::Result* result) mutable {
    write.outcome = OutcomeOf(result);
    if (write.outcome == Outcome::kOk) {
      write.revision = result->revision.value();
      known_mod_revision_[write.key] = write.revision;
    }
    history_.Add(std::move(write));
  });
}

void Client::Delete(Member& member) {
  Write write;
  write.kind = Write::Kind::kDelete;
  write.key = Key();
  write.floor = history_.seen();
  internal::Command command;
  command.mutable_delete_range()->set_key(write.key);
  Propose(member, std::move(command), [this, write](const storage::Result* result) mutable {
    write.outcome = OutcomeOf(result);
    if (write.outcome == Outcome::kOk) {
      etcdserverpb::DeleteRangeResponse response;
      CAIRN_CHECK(response.ParseFromString(result->body)) << "a delete's answer does not parse";
      write.revision = result->revision.value();
      write.deleted = response.deleted();
      known_mod_revision_[write.key] = 0;
    }
    history_.Add(std::move(write));
  });
}

void Client::CompareAndPut(Member& member) {
  Write write;
  write.kind = Write::Kind::kCompareAndPut;
  write.key = Key();
  write.value = Value();
  write.expected_mod_revision = known_mod_revision_[write.key];
  write.floor = history_.seen();
  internal::Command command;
  etcdserverpb::Compare* compare = command.mutable_txn()->add_compare();
  compare->set_key(write.key);
  compare->set_target(etcdserverpb::Compare::MOD);
  compare->set_result(etcdserverpb::Compare::EQUAL);
  compare->set_mod_revision(write.expected_mod_revision);
  etcdserverpb::PutRequest* put = command.mutable_txn()->add_success()->mutable_request_put();
  put->set_key(write.key);
  put->set_value(write.value);
  command.mutable_txn()->add_failure()->mutable_request_range()->set_key(write.key);
  Propose(member, std::move(command), [this, write](const storage::Result* result) mutable {
    write.outcome = OutcomeOf(result);
    if (write.outcome == Outcome::kOk) {
      etcdserverpb::TxnResponse response;
      CAIRN_CHECK(response.ParseFromString(result->body)) << "a transaction's answer does not parse";
      write.revision = result->revision.value();
      write.succeeded = response.succeeded();
      if (write.succeeded) {
        known_mod_revision_[write.key] = write.revision;
      } else {
        const auto& kvs = response.responses(0).response_range().kvs();
        known_mod_revision_[write.key] = kvs.empty() ? 0 : kvs[0].mod_revision();
      }
    }
    history_.Add(std::move(write));
  });
}

void Client::ChangeMany(Member& member) {
  Write write;
  write.kind = Write::Kind::kMany;
  write.floor = history_.seen();
  internal::Command command;
  // Neighbouring keys from a random one on: all differ.
  const uint64_t keys = static_cast<uint64_t>(workload_.keys);
  const uint64_t first = dice_.Below(keys);
  const uint64_t count = 2 + dice_.Below(4);
  for (uint64_t i = 0; i < count; ++i) {
    const std::string key = "k" + std::to_string((first + i) % keys);
    etcdserverpb::RequestOp* op = command.mutable_txn()->add_success();
    if (i == 0 || dice_.Chance(0.7)) {
      write.puts.emplace_back(key, Value());
      op->mutable_request_put()->set_key(key);
      op->mutable_request_put()->set_value(write.puts.back().second);
    } else {
      write.deletes.push_back(key);
      op->mutable_request_delete_range()->set_key(key);
    }
  }
  Propose(member, std::move(command), [this, write](const storage::Result* result) mutable {
    write.outcome = OutcomeOf(result);
    if (write.outcome == Outcome::kOk) write.revision = result->revision.value();
    history_.Add(std::move(write));
  });
}

void Client::Range(Member& member) {
  Read read;
  read.key = Key();
  if (dice_.Chance(0.3)) {
    read.key = "k";
    read.range_end = "l";
  }
  read.linearizable = dice_.Chance(0.7);
  read.floor = history_.seen();
  if (dice_.Chance(0.15))
    read.at_revision = std::max<int64_t>(1, read.floor - static_cast<int64_t>(dice_.Below(20)));
  etcdserverpb::RangeRequest request;
  request.set_key(read.key);
  request.set_range_end(read.range_end);
  request.set_serializable(!read.linearizable);
  request.set_revision(read.at_revision);
  std::shared_ptr<bool> over = Begin();
  auto finish = [this, over, read](const storage::Result* result) mutable {
    if (std::exchange(*over, true)) return;
    const bool ok = result != nullptr && result->error == ClientError::kOk;
    if (ok) {
      etcdserverpb::RangeResponse response;
      CAIRN_CHECK(response.ParseFromString(result->body)) << "a range's answer does not parse";
      read.revision = result->revision.value();
      for (const mvccpb::KeyValue& kv : response.kvs()) {
        read.result[kv.key()] = {kv.value(), kv.create_revision(), kv.mod_revision(), kv.version(),
                                 kv.lease()};
        if (read.at_revision == 0) known_mod_revision_[kv.key()] = kv.mod_revision();
      }
      history_.Saw(read.revision);
      history_.Add(std::move(read));
    }
    End(ok);
  };
  auto shared_finish = std::make_shared<decltype(finish)>(std::move(finish));
  scheduler_.After(kPatience, [shared_finish] { (*shared_finish)(nullptr); });
  member.loop().Schedule(
      absl::Microseconds(50), [&member, request = std::move(request), shared_finish]() mutable {
        member.node().Range(std::move(request),
                            [shared_finish](storage::Result&& result) { (*shared_finish)(&result); });
      });
}

void Client::Compact(Member& member) {
  internal::Command command;
  command.mutable_compact()->set_revision(
      std::max<int64_t>(1, history_.seen() - static_cast<int64_t>(dice_.Below(30))));
  command.mutable_compact()->set_physical(dice_.Chance(0.2));
  Propose(member, std::move(command), [](const storage::Result*) {});
}

void Client::GrantLease(Member& member, bool kept) {
  const Lease lease{next_lease_++, static_cast<int64_t>(2 + dice_.Below(4))};
  internal::Command command;
  command.mutable_lease_grant()->set_id(lease.id);
  command.mutable_lease_grant()->set_ttl_s(lease.ttl_s);
  Propose(member, std::move(command),
          [this, lease, kept, began = scheduler_.now()](const storage::Result* result) {
            if (OutcomeOf(result) != Outcome::kOk) return;
            history_.LeaseAlive(lease.id, lease.ttl_s, began + absl::Seconds(lease.ttl_s));
            for (int i = 0; i < kKeysOfLease; ++i) PutLeaseKey(lease, i, /*attach=*/true);
            if (kept) leases_.push_back(lease);
          });
}

void Client::GrantManyLeases(Member& member) {
  constexpr int kMany = 20;
  for (int i = 0; i < kMany; ++i) {
    const Lease lease{next_lease_++, 2};
    internal::Command command;
    command.mutable_lease_grant()->set_id(lease.id);
    command.mutable_lease_grant()->set_ttl_s(lease.ttl_s);
    member.loop().Schedule(absl::Microseconds(50), [this, &member, lease, command = std::move(command),
                                                    began = scheduler_.now()]() mutable {
      member.node().Propose(std::move(command), [this, lease, began](storage::Result&& result) {
        if (OutcomeOf(&result) != Outcome::kOk) return;
        history_.LeaseAlive(lease.id, lease.ttl_s, began + absl::Seconds(lease.ttl_s));
        PutLeaseKey(lease, 0, /*attach=*/true);
      });
    });
  }
  Put(member);
}

void Client::PutLeaseKey(const Lease& lease, int number, bool attach) {
  // The key is the lease's own; no client deletes it, so only revocation or expiry can.
  Member* member = pick_();
  if (member == nullptr) return;
  Write write;
  write.key = lease.Key(number);
  write.value = Value();
  write.floor = history_.seen();
  internal::Command command;
  command.mutable_put()->set_key(write.key);
  command.mutable_put()->set_value(write.value);
  if (attach) command.mutable_put()->set_lease(lease.id);
  auto over = std::make_shared<bool>(false);
  auto finish = [this, over, write](const storage::Result* result) mutable {
    if (std::exchange(*over, true)) return;
    write.outcome = OutcomeOf(result);
    if (write.outcome == Outcome::kOk) {
      write.revision = result->revision.value();
      history_.Saw(write.revision);
    }
    history_.Add(std::move(write));
  };
  auto shared_finish = std::make_shared<decltype(finish)>(std::move(finish));
  scheduler_.After(kPatience, [shared_finish] { (*shared_finish)(nullptr); });
  member->loop().Schedule(
      absl::Microseconds(50), [member, command = std::move(command), shared_finish]() mutable {
        member->node().Propose(std::move(command),
                               [shared_finish](storage::Result&& result) { (*shared_finish)(&result); });
      });
}

void Client::KeepAlive(Member& member) {
  const Lease lease = leases_[dice_.Below(leases_.size())];
  const absl::Duration began = scheduler_.now();
  std::shared_ptr<bool> over = Begin();
  auto finish = [this, over, lease, began](const server::LeaseTime* time) {
    if (std::exchange(*over, true)) return;
    const bool ok = time != nullptr && time->error == ClientError::kOk;
    if (ok && time->ttl_s > 0) {
      history_.LeaseAlive(lease.id, lease.ttl_s, began + absl::Seconds(time->ttl_s));
    } else if (ok) {
      std::erase_if(leases_, [&](const Lease& other) { return other.id == lease.id; });
    }
    End(ok);
  };
  scheduler_.After(kPatience, [finish] { finish(nullptr); });
  member.loop().Schedule(absl::Microseconds(50), [&member, lease, finish] {
    member.node().LeaseKeepAlive(storage::LeaseId(lease.id),
                                 [finish](server::LeaseTime time) { finish(&time); });
  });
}

void Client::AskTimeToLive(Member& member) {
  const Lease lease = leases_[dice_.Below(leases_.size())];
  std::shared_ptr<bool> over = Begin();
  auto finish = [this, over, lease](const server::LeaseTime* time) {
    if (std::exchange(*over, true)) return;
    const bool ok = time != nullptr && time->error == ClientError::kOk;
    if (ok) history_.LeaseTimeLeft(lease.id, time->ttl_s, scheduler_.now());
    End(ok);
  };
  scheduler_.After(kPatience, [finish] { finish(nullptr); });
  member.loop().Schedule(absl::Microseconds(50), [&member, lease, finish] {
    member.node().LeaseTimeToLive(storage::LeaseId(lease.id),
                                  [finish](server::LeaseTime time) { finish(&time); });
  });
}

void Client::RevokeLease(Member& member) {
  const Lease lease = leases_.back();
  leases_.pop_back();
  history_.LeaseRevoked(lease.id);
  internal::Command command;
  command.mutable_lease_revoke()->set_id(lease.id);
  Propose(member, std::move(command), [](const storage::Result*) {});
}

}  // namespace cairn::sim
