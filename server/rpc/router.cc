#include "server/rpc/router.h"

#include <algorithm>
#include <set>
#include <utility>

#include "raft/check.h"

namespace cairn::rpc {
namespace {

// "package.Service" of "/package.Service/Method"; empty when the path has another form.
std::string_view ServiceOf(std::string_view path) {
  const size_t slash = path.rfind('/');
  if (!path.starts_with('/') || slash == 0) return {};
  return path.substr(1, slash - 1);
}

}  // namespace

void Router::Add(Method method) {
  CAIRN_CHECK(!ServiceOf(method.path).empty())
      << method.path << " is not of the form /package.Service/Method";
  std::string path = method.path;
  const bool added = methods_.emplace(path, std::make_unique<Method>(std::move(method))).second;
  CAIRN_CHECK(added) << path << " is registered twice";
}

const Method* Router::Find(std::string_view path) const {
  const auto found = methods_.find(path);
  return found == methods_.end() ? nullptr : found->second.get();
}

std::string Router::WhyUnknown(std::string_view path) const {
  const std::string_view service = ServiceOf(path);
  if (service.empty()) return "malformed method name: \"" + std::string(path) + "\"";
  for (const auto& [known, method] : methods_) {
    if (ServiceOf(known) == service) {
      return "unknown method " + std::string(path.substr(service.size() + 2)) + " for service " +
             std::string(service);
    }
  }
  return "unknown service " + std::string(service);
}

std::vector<std::string> Router::ServiceNames() const {
  std::set<std::string> names;
  for (const auto& [path, method] : methods_) names.emplace(ServiceOf(path));
  return {names.begin(), names.end()};
}

}  // namespace cairn::rpc
