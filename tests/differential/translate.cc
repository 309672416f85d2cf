#include "tests/differential/translate.h"

#include <functional>
#include <string>

namespace cairn::differential {
namespace {

namespace pb = google::protobuf;

enum class Kind { kOther, kLease, kRevision };

Kind KindOf(const pb::FieldDescriptor& field) {
  if (field.cpp_type() != pb::FieldDescriptor::CPPTYPE_INT64 || field.is_repeated()) return Kind::kOther;
  const std::string& name = field.name();
  const std::string& owner = field.containing_type()->name();
  if (name == "lease" || (name == "ID" && owner.rfind("Lease", 0) == 0)) return Kind::kLease;
  // A header's revision is that of the whole store: the comparison deals with it.
  if (owner == "ResponseHeader") return Kind::kOther;
  return name.find("revision") != std::string::npos ? Kind::kRevision : Kind::kOther;
}

using Change = std::function<int64_t(Kind, int64_t)>;

void Visit(pb::Message* message, const Change& change) {
  const pb::Reflection* reflection = message->GetReflection();
  std::vector<const pb::FieldDescriptor*> fields;
  reflection->ListFields(*message, &fields);
  for (const pb::FieldDescriptor* field : fields) {
    if (field->cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE) {
      if (!field->is_repeated()) {
        Visit(reflection->MutableMessage(message, field), change);
        continue;
      }
      for (int i = 0; i < reflection->FieldSize(*message, field); ++i) {
        Visit(reflection->MutableRepeatedMessage(message, field, i), change);
      }
    } else if (const Kind kind = KindOf(*field); kind != Kind::kOther) {
      const int64_t value = reflection->GetInt64(*message, field);
      if (value != 0) reflection->SetInt64(message, field, change(kind, value));
    }
  }
}

int64_t Find(const std::unordered_map<int64_t, int64_t>& map, int64_t key, int64_t otherwise) {
  const auto it = map.find(key);
  return it == map.end() ? otherwise : it->second;
}

}  // namespace

void Translator::AddLease(int64_t etcd_id, int64_t cairn_id) {
  leases_[kCairn][etcd_id] = cairn_id;
  leases_[kEtcd][cairn_id] = etcd_id;
}

int64_t Translator::AddRevision(int64_t etcd_revision, int64_t cairn_revision) {
  if (!rank_revisions_) return etcd_revision;
  // Revoking a lease without keys changes nothing and answers with the store's revision: where nobody else
  // wrote meanwhile, on either side, that is the last known one.
  if (etcd_revision <= ranks_.back()[kEtcd] || cairn_revision <= ranks_.back()[kCairn]) {
    return static_cast<int64_t>(ranks_.size()) - 1;
  }
  ranks_.push_back({etcd_revision, cairn_revision});
  const int64_t rank = static_cast<int64_t>(ranks_.size()) - 1;
  rank_of_[kEtcd][etcd_revision] = rank;
  rank_of_[kCairn][cairn_revision] = rank;
  return rank;
}

void Translator::ToSide(Side side, pb::Message* request) const {
  Visit(request, [&](Kind kind, int64_t value) {
    if (kind == Kind::kLease) return side == kEtcd ? value : Find(leases_[kCairn], value, value);
    if (!rank_revisions_ || value < 0 || value >= static_cast<int64_t>(ranks_.size())) return value;
    return ranks_[value][side];
  });
}

int64_t Translator::RevisionFromSide(Side side, int64_t revision) const {
  return rank_revisions_ ? Find(rank_of_[side], revision, -revision) : revision;
}

void Translator::FromSide(Side side, pb::Message* response) const {
  Visit(response, [&](Kind kind, int64_t value) {
    if (kind == Kind::kRevision) return RevisionFromSide(side, value);
    return side == kEtcd ? value : Find(leases_[kEtcd], value, value);
  });
}

}  // namespace cairn::differential
