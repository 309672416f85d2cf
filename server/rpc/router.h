// Which handler serves which path.
//
// Thread safety: none; filled before the server listens, then only read.
#ifndef CAIRN_SERVER_RPC_ROUTER_H_
#define CAIRN_SERVER_RPC_ROUTER_H_

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "server/rpc/call.h"

namespace cairn::rpc {

struct Method {
  std::string path;
  UnaryHandler unary;  // exactly one of the two is set
  StreamFactory factory;
};

class Router {
 public:
  // `method.path` is "/package.Service/Method" and new.
  void Add(Method method);
  // Stable; nullptr when unknown.
  const Method* Find(std::string_view path) const;
  // What to tell a client whose path is unknown.
  std::string WhyUnknown(std::string_view path) const;
  // Sorted, each once.
  std::vector<std::string> ServiceNames() const;

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  std::unordered_map<std::string, std::unique_ptr<Method>, Hash, std::equal_to<>> methods_;  // by path
};

}  // namespace cairn::rpc

#endif  // CAIRN_SERVER_RPC_ROUTER_H_
