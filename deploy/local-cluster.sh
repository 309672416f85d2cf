#!/usr/bin/env bash
# Starts a cluster of 1, 3 or 5 members on the loopback address, from the programs in build/. Data and logs are under
# ./data/MEMBERS-members/. Ends on Ctrl-C or SIGTERM, when every member has stopped.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

members=3
[ "${1:-}" != --members ] || members=$2
# etcd's usual local ports.
client_ports=(2379 22379 32379 42379 52379)
peer_ports=(2380 22380 32380 42380 52380)
dir=data/$members-members
mkdir -p "$dir"

cluster=
endpoints=
for ((i = 0; i < members; i++)); do
  cluster+=${cluster:+,}n$((i + 1))=http://127.0.0.1:${peer_ports[i]}
  endpoints+=${endpoints:+,}127.0.0.1:${client_ports[i]}
done

pids=()
stop() {
  trap '' INT TERM
  trap - EXIT
  echo "stopping the cluster"
  for pid in "${pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
}
trap 'stop; exit 0' INT TERM
trap stop EXIT # also when something goes wrong here

for ((i = 0; i < members; i++)); do
  name=n$((i + 1))
  # A process group of its own: Ctrl-C reaches this script alone, which stops the members in order.
  setsid build/cairnd --name "$name" --data-dir "$dir/$name" \
    --listen-client-urls "http://127.0.0.1:${client_ports[i]}" \
    --advertise-client-urls "http://127.0.0.1:${client_ports[i]}" \
    --listen-peer-urls "http://127.0.0.1:${peer_ports[i]}" \
    --initial-advertise-peer-urls "http://127.0.0.1:${peer_ports[i]}" \
    --initial-cluster "$cluster" --initial-cluster-token local >>"$dir/$name.log" 2>&1 &
  pids+=($!)
done

for ((try = 0; ; try++)); do
  if build/cairn --endpoints "$endpoints" health >/dev/null 2>&1; then break; fi
  for ((i = 0; i < members; i++)); do
    if ! kill -0 "${pids[i]}" 2>/dev/null; then
      echo "member n$((i + 1)) ended; the end of $dir/n$((i + 1)).log:" >&2
      tail -n 5 "$dir/n$((i + 1)).log" >&2
      exit 1
    fi
  done
  if [ "$try" -ge 150 ]; then
    echo "the cluster is not healthy after 30 seconds; see $dir/n*.log" >&2
    exit 1
  fi
  sleep 0.2
done

cat <<TEXT

A cluster of $members runs. Endpoints: $endpoints
Data and logs: $dir/   Ctrl-C stops it.

Try, in another terminal:
  export CAIRN_ENDPOINTS=$endpoints
  build/cairn put greeting hello
  build/cairn get greeting
  build/cairn watch greeting          # and put again elsewhere
  build/cairn lease grant 30
  build/cairn status
  ETCDCTL_API=3 etcdctl --endpoints $endpoints endpoint status -w table
TEXT

# Any member that ends by itself is told; the others go on.
while true; do
  for ((i = 0; i < members; i++)); do
    if [ -n "${pids[i]:-}" ] && ! kill -0 "${pids[i]}" 2>/dev/null; then
      echo "member n$((i + 1)) (pid ${pids[i]}) has ended; the end of its log:"
      tail -n 2 "$dir/n$((i + 1)).log"
      unset 'pids[i]'
    fi
  done
  [ ${#pids[@]} -gt 0 ] || exit 1
  sleep 1 &
  wait $! || true
done
