# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
# Sourced: what a kernel says when something is wrong, as a pattern for grep -E. The kernel
# prints the name of each of these checkers when it starts; that is no complaint.
# shellcheck disable=SC2034
COMPLAINTS='WARNING:|BUG:|cut here|KASAN:|UBSAN:|Oops|Call Trace|detected stall|general protection'
COMPLAINTS+='|INFO: (task|rcu|possible|inconsistent|trying to register)|possible (circular|recursive)'
COMPLAINTS+='|suspicious RCU|Kernel panic|unregister_netdevice|Bad page|bad: scheduling'
COMPLAINTS+='|sleeping function called'
