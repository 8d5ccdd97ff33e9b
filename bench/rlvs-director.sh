#!/usr/bin/env bash
# rlvs as a director of a side-by-side benchmark: bench/rlvs-director.sh up|down, run as root in the director's network
# namespace. `up` returns when it is ready, `down` leaves nothing.
#
#   LB_VIP, LB_PORT   the virtual service, UDP and TCP
#   LB_CIF            the interface on the clients' side
#   LB_RS             the real servers, "ADDRESS,MAC,INTERFACE ADDRESS,MAC,INTERFACE …"; they have the VIP on lo
#   RLVS              the program (default: rlvs in PATH)
#   RLVS_MODE         xdp (default): native XDP that redirects from interface to interface, and TC; tc: TC alone
#   RLVS_METHOD       -g (default), -m or -i: ipvsadm's forwarding method
#
# XDP redirects into a veth only where frames arrive: the far end needs XDP or GRO there. The benchmark's has both.
set -euo pipefail

rlvs=$(command -v "${RLVS:-rlvs}")
ipvsadm() { (exec -a ipvsadm "$rlvs" "$@"); }

up() {
    local protocol server device devices=("$LB_CIF")
    for server in $LB_RS; do devices+=("${server##*,}"); done
    for device in "${devices[@]}"; do
        case ${RLVS_MODE:-xdp} in
            xdp) "$rlvs" attach "$device" --mode xdp --xdp-redirect on ;;
            tc) "$rlvs" attach "$device" --mode tc ;;
            *) echo "RLVS_MODE is xdp or tc, not $RLVS_MODE" >&2; exit 2 ;;
        esac
    done
    for protocol in -u -t; do
        ipvsadm -A $protocol "$LB_VIP:$LB_PORT" -s rr
        for server in $LB_RS; do
            ipvsadm -a $protocol "$LB_VIP:$LB_PORT" -r "${server%%,*}:$LB_PORT" "${RLVS_METHOD:--g}"
        done
    done
}

case ${1:-} in
    up) up ;;
    down) "$rlvs" down ;;
    *) sed -n '2,13s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
