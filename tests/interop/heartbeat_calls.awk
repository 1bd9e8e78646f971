# SPDX-License-Identifier: Apache-2.0
# The call log of test_heartbeat.sh: "TIME NODE WORD EVENT".  Events of a script (WORD is its name): start,
# when it is called; stopped, when its stop is done.  Events of the test (WORD is -): died, the node with all
# that ran on it; cut and healed, the network, between which both nodes may hold the same.
# Prints what was wrong: a script started on one node while the other one has it.
function other(node) { return node == "alpha" ? "beta" : "alpha" }
$4 == "cut" { cut = 1 }
$4 == "healed" { cut = 0; next }
$4 == "died" { for (s in seen) delete has[$2, s] }
$4 == "start" {
    seen[$3] = 1
    if (has[other($2), $3] && !cut)
        print $1 ": " $3 " started on " $2 " while " other($2) " has it"
    has[$2, $3] = 1
}
$4 == "stopped" { delete has[$2, $3] }
