// Server reflection (grpc.reflection.v1 and v1alpha) over the proto files linked into the program.
#ifndef CAIRN_SERVER_RPC_REFLECTION_H_
#define CAIRN_SERVER_RPC_REFLECTION_H_

#include <string>
#include <vector>

namespace cairn::rpc {

class Server;

// Registers both versions. Call it after all other services have been added: what is listed is what `server`
// has then.
void AddReflection(Server& server);

}  // namespace cairn::rpc

#endif  // CAIRN_SERVER_RPC_REFLECTION_H_
