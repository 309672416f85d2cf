// The version of this program, from CMakeLists.txt.
#ifndef CAIRN_SERVER_VERSION_H_
#define CAIRN_SERVER_VERSION_H_

namespace cairn::server {

inline constexpr char kVersion[] = CAIRN_VERSION;

}  // namespace cairn::server

#endif  // CAIRN_SERVER_VERSION_H_
