# SPDX-License-Identifier: Apache-2.0
# The network: a bridge in the hub's namespace, a port for each node, and filters on the ports.
# shellcheck shell=bash

hub_pid() { cat "$LAB_DIR/hub.pid" 2>/dev/null; }
hub_net() { nsenter -t "$(hub_pid)" -n "$@"; }
hub_mount() { nsenter -t "$(hub_pid)" -m "$@"; }

node_address() { echo "192.168.137.${NODE_HOST[$1]}"; }
node_mac() { printf '52:54:00:89:00:%02x\n' "${NODE_HOST[$1]}"; }

hub_start() {
    HAVEN_LAB=$LAB_DIR "$(program lab-init)" hub "$LAB_DIR/hub.pid" - </dev/null || die "no namespaces: is this root on a Linux that allows them?"
    hub_net ip link set lo up
    hub_net ip link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0 || die "no bridge"
    hub_net ip link set br0 up
}

hub_stop() {
    local pid
    pid=$(hub_pid)
    [ -z "$pid" ] || init_kill "$pid" || return 1
    rm -f "$LAB_DIR/hub.pid"
}

# Plugs the node's eth0 into the bridge.
net_plug() {
    local node=$1 pid=$2 hub
    hub=$(hub_pid)
    net_unplug "$node"
    nsenter -t "$pid" -n ip link add eth0 address "$(node_mac "$node")" type veth \
        peer name "v$node" netns "$hub" || return 1
    hub_net ip link set "v$node" master br0 up || return 1
    nsenter -t "$pid" -n sh -c "ip link set lo up; ip link set eth0 up;
        ip addr add $(node_address "$node")/24 brd + dev eth0" || return 1
    net_filters
}

net_unplug() { hub_net ip link del "v$1" 2>/dev/null; return 0; }
net_port_exists() { hub_net ip link show dev "v$1" >/dev/null 2>&1; }

# A rule for the port of $1: what node $2 sent ("all": anybody) is dropped on its way out.
net_rule() {
    local from=$2 kind=$3 match=''
    [ "$from" = all ] || match="ether saddr $(node_mac "$from")"
    case $kind in
    replication) match="$match meta l4proto tcp" ;;
    heartbeat) match="$match meta l4proto udp" ;;
    esac
    echo "    $match counter drop"
}

# Installs the filters that the file `cuts` asks for: all of them anew, in one transaction.
net_filters() {
    local node a b kind out in
    {
        echo 'table netdev lab'
        echo 'delete table netdev lab'
        echo 'table netdev lab {'
        for node in "${!NODE_HOST[@]}"; do
            net_port_exists "$node" || continue
            out='' in=''
            while read -r a b kind; do
                if [ "$b" = all ]; then
                    [ "$a" = "$node" ] && { out+=$(net_rule "$node" all "$kind")$'\n'; in=$out; }
                elif [ "$a" = "$node" ]; then
                    out+=$(net_rule "$node" "$b" "$kind")$'\n'
                elif [ "$b" = "$node" ]; then
                    out+=$(net_rule "$node" "$a" "$kind")$'\n'
                fi
            done < <(cat "$LAB_DIR/cuts" 2>/dev/null)
            [ -z "$out" ] || printf 'chain out_%s { type filter hook egress device "v%s" priority 0;\n%s}\n' "$node" "$node" "$out"
            [ -z "$in" ] || printf 'chain in_%s { type filter hook ingress device "v%s" priority 0;\n%s}\n' "$node" "$node" "$in"
        done
        echo '}'
    } | hub_net nft -f -
}

net_name_need() {
    [ "$1" = all ] || [ -n "${NODE_HOST[$1]:-}" ] || die "no node '$1'; there are: ${!NODE_HOST[*]}"
}

net_cut() {
    local a=${1:?cut A B} b=${2:?cut A B} kind=all
    case ${3:-} in
    '') ;;
    --replication) kind=replication ;;
    --heartbeat) kind=heartbeat ;;
    *) die "cut: unknown option '$3'" ;;
    esac
    node_need "$a"
    net_name_need "$b"
    grep -qsxF "$a $b $kind" "$LAB_DIR/cuts" || echo "$a $b $kind" >>"$LAB_DIR/cuts"
    net_filters
}

net_heal() {
    local a=${1:-} b=${2:-}
    touch "$LAB_DIR/cuts"
    if [ -z "$a" ]; then
        : >"$LAB_DIR/cuts"
    else
        net_name_need "$a"
        [ -n "$b" ] || die "heal A B, or heal alone"
        net_name_need "$b"
        awk -v a="$a" -v b="$b" '!(($1 == a && $2 == b) || ($1 == b && $2 == a))' \
            "$LAB_DIR/cuts" >"$LAB_DIR/cuts.new"
        mv "$LAB_DIR/cuts.new" "$LAB_DIR/cuts"
    fi
    net_filters
}
