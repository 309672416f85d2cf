#!/bin/sh
# Runs the conformance test of one language: run_client.sh LANGUAGE SOURCE_ROOT BUILD_DIR ECHO_SERVER PROTOC
set -eu
language=$1 source=$2 build=$3 protoc=$5
export CAIRN_ECHO_SERVER="$4" CAIRN_SOURCE="$source"
tests=$source/tests/conformance/rpc/$language
mkdir -p "$build"

need() {
  command -v "$1" >/dev/null || { echo "$1 is missing: install Debian's package $2" >&2; exit 1; }
}

case $language in
python)
  /usr/bin/python3 -c 'import grpc, google.protobuf' ||
    { echo "grpcio is missing: install Debian's packages python3-grpcio and python3-protobuf" >&2; exit 1; }
  "$protoc" -I "$source" --python_out="$build" "$source/tests/conformance/rpc/echo.proto" "$source"/proto/grpc/*.proto
  exec /usr/bin/python3 "$tests/grpcio_test.py" "$CAIRN_ECHO_SERVER" "$build"
  ;;
go)
  need go golang-go
  cd "$tests"
  go test -mod=readonly -c -o "$build/echo_test" . ||
    { echo "the Go test does not build: see above; the first build fetches the modules of go.mod from the network" >&2; exit 1; }
  exec "$build/echo_test" -test.v
  ;;
node)
  need node nodejs
  need npm npm
  cp "$tests/package.json" "$tests/package-lock.json" "$build/"
  # Installed once for each lock file.
  if ! cmp -s "$build/package-lock.json" "$build/installed-lock.json"; then
    (cd "$build" && npm ci --ignore-scripts --no-audit --no-fund) ||
      { echo "npm ci failed: see above; the first run fetches the packages of package-lock.json from the network" >&2; exit 1; }
    cp "$build/package-lock.json" "$build/installed-lock.json"
  fi
  # Resolution starts at the file, so the test runs beside its modules.
  cp "$tests/grpcjs_test.js" "$build/"
  cd "$build"
  exec node --test grpcjs_test.js
  ;;
*)
  echo "unknown language $language" >&2
  exit 2
  ;;
esac
