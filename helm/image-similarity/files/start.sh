#!/usr/bin/env bash
# Starts one node of a Qdrant cluster whose nodes may all start at once. The chart and docker-compose.scale.yml run it.
# docs/decisions/0004-qdrant-on-kubernetes.md says which facts about Qdrant it follows.
#
# HOSTNAME  this node's name, which ends in its number
# FIRST     number of the node that founds the cluster
# DOMAIN    suffix of the name by which other nodes resolve it; may be empty
# PEERS     a name that has the addresses of all nodes

number=${HOSTNAME##*-}
name() { echo "${HOSTNAME%-*}-$1${DOMAIN:+.$DOMAIN}"; }
me=http://$(name "$number"):6335

# Qdrant opens this port once it is a member of the cluster.
is_member() { timeout 2 bash -c ": </dev/tcp/$1/6335" 2>/dev/null; }

# Asks a host up to so many times, 2 to 4 s apart.
wait_for() {
  trap 'exit 143' TERM
  for _ in $(seq "$2"); do
    is_member "$1" && return
    echo "waiting for $1:6335"
    sleep 2
  done
  return 1
}

if grep -Eqs '"term": *[1-9]' storage/raft_state.json; then
  # It has been a member: it finds the others by what it has stored, and waits for none of them.
  [ "$number" = "$FIRST" ] && exec ./entrypoint.sh --uri "$me"
elif [ "$number" = "$FIRST" ]; then
  # There are members without this node, so its volume was lost. It must join them: it must not found a second cluster,
  # which would answer in their place.
  wait_for "$PEERS" 5 || exec ./entrypoint.sh --uri "$me"
else
  # One joins after the other: a cluster takes one new member at a time, and a node that it does not take exits.
  wait_for "$(name $((number - 1)))" 60
fi
exec ./entrypoint.sh --uri "$me" --bootstrap "http://$PEERS:6335"
