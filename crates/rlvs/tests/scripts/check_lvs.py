#!/usr/bin/env python3
"""The same listing as another kind of check reads it: by regular expressions on whole lines."""
import re
import subprocess
import sys

SERVICE = re.compile(r"^(TCP|UDP|SCTP|FWM) +(\S+)( IPv6)? (\w+)( persistent (\d+))?( mask (\S+))?( ops)?( \(\S*\))?$")
SERVER = re.compile(r"^  -> (\S+) +(Route|Masq|Tunnel|Local) +(\d+) +(\d+) +(\d+) *$")
COUNTERS = re.compile(r"^(?:(?:TCP|UDP|SCTP|FWM) +|  -> )(\S+) +(\d+) +(\d+) +(\d+) +(\d+) +(\d+)$")


def lines(*options):
    return subprocess.run(["ipvsadm", *options], check=True, capture_output=True, text=True).stdout.splitlines()


first, *rest = lines("-L", "-n")
if not re.match(r"^IP Virtual Server version \d+\.\d+\.\d+ \(size=\d+\)$", first):
    sys.exit(f"not a listing: {first}")
servers = 0
for line in rest[2:]:
    if match := SERVER.match(line):
        servers += 1
    elif not SERVICE.match(line):
        sys.exit(f"neither a service nor a server: {line!r}")
counted = [COUNTERS.match(line) for line in lines("-L", "-n", "--stats", "--exact")[3:]]
if not all(counted):
    sys.exit("a row of counters that is none")
print(servers, sum(int(row.group(2)) for row in counted))
