#!/usr/bin/env bash
# Installs the Debian 12 packages that are missing: `build` (what the programs need) or `test` (also what the tests and
# their third-party clients need). Says what it does; does nothing when all is there.
set -euo pipefail

build_packages=(
  ca-certificates cmake ninja-build g++ pkg-config
  libgrpc++-dev protobuf-compiler-grpc libprotobuf-dev protobuf-compiler libabsl-dev
  librocksdb-dev libnghttp2-dev libboost1.81-dev libssl-dev zlib1g-dev libgoogle-perftools-dev
  libcli11-dev libyaml-cpp-dev libspdlog-dev nlohmann-json3-dev libxxhash-dev
)
test_packages=(
  ccache libgtest-dev libgmock-dev libbenchmark-dev clang-format clang-tidy
  etcd-server etcd-client nghttp2-client
  python3 python3-grpcio python3-grpc-tools python3-protobuf python3-pytest python3-etcd3 python3-yaml
  golang-go nodejs npm git procps strace
)

case "${1:-}" in
  build) wanted=("${build_packages[@]}") ;;
  test) wanted=("${build_packages[@]}" "${test_packages[@]}") ;;
  *)
    echo "usage: $0 build|test" >&2
    exit 2
    ;;
esac

missing=()
for package in "${wanted[@]}"; do
  # A newer Go or Node outside of Debian's packages serves as well.
  case "$package" in
    golang-go) command -v go >/dev/null && continue ;;
    nodejs) command -v node >/dev/null && continue ;;
    npm) command -v npm >/dev/null && continue ;;
  esac
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || {
    echo "missing packages: ${missing[*]}" >&2
    echo "install them as root (apt-get install …), or install sudo, and run this again" >&2
    exit 1
  }
  as_root=(sudo)
fi
echo "installing ${#missing[@]} Debian packages: ${missing[*]}"
log=$(mktemp)
# Services that packages bring (etcd-server) are not to be started.
if ! "${as_root[@]}" sh -c '
  set -e
  export DEBIAN_FRONTEND=noninteractive
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    printf "#!/bin/sh\nexit 101\n" > /usr/sbin/policy-rc.d
    chmod +x /usr/sbin/policy-rc.d
    trap "rm -f /usr/sbin/policy-rc.d" EXIT
  fi
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "$@"' sh "${missing[@]}" >"$log" 2>&1; then
  tail -n 30 "$log" >&2
  echo "apt-get failed; the whole output is in $log" >&2
  exit 1
fi
rm -f "$log"
