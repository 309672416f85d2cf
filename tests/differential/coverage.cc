#include "tests/differential/coverage.h"

#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "proto/etcd/rpc.pb.h"

namespace cairn::differential {
namespace {

namespace pb = google::protobuf;

// Every error a single healthy cluster without alarms can be brought to answer.
constexpr const char* kReachableErrors[] = {
    "etcdserver: key is not provided",
    "etcdserver: key not found",
    "etcdserver: value is provided",
    "etcdserver: lease is provided",
    "etcdserver: too many operations in txn request",
    "etcdserver: duplicate key given in txn request",
    "etcdserver: request is too large",
    "etcdserver: mvcc: required revision has been compacted",
    "etcdserver: mvcc: required revision is a future revision",
    "etcdserver: too large lease TTL",
    "etcdserver: requested lease not found",
    "etcdserver: lease already exists",
    "mvcc: duplicate watch ID provided on the WatchStream",
};

// The calls this test makes; Alarm and MoveLeader act on the cluster, not on the store.
std::vector<const pb::Descriptor*> Requests() {
  return {
      etcdserverpb::RangeRequest::descriptor(),          etcdserverpb::PutRequest::descriptor(),
      etcdserverpb::DeleteRangeRequest::descriptor(),    etcdserverpb::TxnRequest::descriptor(),
      etcdserverpb::CompactionRequest::descriptor(),     etcdserverpb::WatchRequest::descriptor(),
      etcdserverpb::LeaseGrantRequest::descriptor(),     etcdserverpb::LeaseRevokeRequest::descriptor(),
      etcdserverpb::LeaseKeepAliveRequest::descriptor(), etcdserverpb::LeaseTimeToLiveRequest::descriptor(),
      etcdserverpb::LeaseLeasesRequest::descriptor(),    etcdserverpb::MemberListRequest::descriptor(),
      etcdserverpb::StatusRequest::descriptor(),         etcdserverpb::HashKVRequest::descriptor()};
}

std::string Name(const pb::FieldDescriptor& field) {
  return absl::StrCat(field.containing_type()->name(), ".", field.name());
}

std::string ValueName(const pb::FieldDescriptor& field, int number) {
  const pb::EnumValueDescriptor* value = field.enum_type()->FindValueByNumber(number);
  return absl::StrCat(Name(field), "=", value == nullptr ? "(unknown)" : value->name());
}

void ListOptions(const pb::Descriptor& type, std::set<const pb::Descriptor*>* seen,
                 std::map<std::string, int64_t>* options) {
  if (!seen->insert(&type).second) return;
  (*options)[type.name()];
  for (int i = 0; i < type.field_count(); ++i) {
    const pb::FieldDescriptor& field = *type.field(i);
    if (field.message_type() != nullptr) {
      (*options)[Name(field)];
      ListOptions(*field.message_type(), seen, options);
    } else if (field.enum_type() != nullptr) {
      for (int v = 0; v < field.enum_type()->value_count(); ++v) {
        (*options)[ValueName(field, field.enum_type()->value(v)->number())];
      }
    } else {
      (*options)[Name(field)];
    }
  }
}

}  // namespace

void Coverage::AddRequest(const pb::Message& request) {
  const pb::Descriptor& type = *request.GetDescriptor();
  const pb::Reflection* reflection = request.GetReflection();
  {
    std::lock_guard lock(mutex_);
    ++options_[type.name()];
    for (int i = 0; i < type.field_count(); ++i) {
      const pb::FieldDescriptor& field = *type.field(i);
      if (field.is_repeated()) {
        const int size = reflection->FieldSize(request, &field);
        if (field.enum_type() == nullptr) {
          if (size > 0) ++options_[Name(field)];
          continue;
        }
        for (int v = 0; v < size; ++v) {
          ++options_[ValueName(field, reflection->GetRepeatedEnumValue(request, &field, v))];
        }
      } else if (field.enum_type() != nullptr) {
        ++options_[ValueName(field, reflection->GetEnumValue(request, &field))];
      } else if (reflection->HasField(request, &field)) {
        ++options_[Name(field)];
      }
    }
  }
  for (int i = 0; i < type.field_count(); ++i) {
    const pb::FieldDescriptor* field = type.field(i);
    if (field->message_type() == nullptr) continue;
    if (!field->is_repeated()) {
      if (reflection->HasField(request, field)) AddRequest(reflection->GetMessage(request, field));
      continue;
    }
    for (int v = 0; v < reflection->FieldSize(request, field); ++v) {
      AddRequest(reflection->GetRepeatedMessage(request, field, v));
    }
  }
}

void Coverage::AddError(const std::string& text) {
  std::lock_guard lock(mutex_);
  ++errors_[text];
}

void Coverage::AddForm(const std::string& name) {
  std::lock_guard lock(mutex_);
  ++options_[name];
}

std::map<std::string, int64_t> Coverage::ApiOptions() const {
  std::map<std::string, int64_t> all;
  std::set<const pb::Descriptor*> seen;
  for (const pb::Descriptor* type : Requests()) ListOptions(*type, &seen, &all);
  for (auto& [name, count] : all) {
    const auto it = options_.find(name);
    if (it != options_.end()) count = it->second;
  }
  return all;
}

std::string Coverage::Report() const {
  std::lock_guard lock(mutex_);
  std::string text = "uses of each option:\n";
  auto options = ApiOptions();
  options.insert(options_.begin(), options_.end());
  for (const auto& [name, count] : options) absl::StrAppend(&text, "  ", count, "  ", name, "\n");
  absl::StrAppend(&text, "error texts received:\n");
  for (const auto& [name, count] : errors_) absl::StrAppend(&text, "  ", count, "  ", name, "\n");
  return text;
}

std::string Coverage::Missing(int64_t options, int64_t errors) const {
  std::lock_guard lock(mutex_);
  std::string text;
  for (const auto& [name, count] : ApiOptions()) {
    if (count < options) absl::StrAppend(&text, "  ", name, " was used ", count, " times of ", options, "\n");
  }
  for (const char* name : kReachableErrors) {
    const auto it = errors_.find(name);
    const int64_t count = it == errors_.end() ? 0 : it->second;
    if (count < errors)
      absl::StrAppend(&text, "  error \"", name, "\" came ", count, " times of ", errors, "\n");
  }
  return text;
}

}  // namespace cairn::differential
