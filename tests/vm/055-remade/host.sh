#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Runs on the host, beside the VM: the other host of this test. Argument: the work directory.
# When the VM says where its device begins, a new file system is written there, with one
# file that has the bytes of a file of the old one.
set -eu
W=$1
for n in 1 2; do
	until [ -s "$W/remake$n" ]; do sleep 0.1; done
	read -r base size < "$W/remake$n"
	"$TOP/tests/vm/055-remade/remake.py" "$W/pmem0" "$base" "$size"
	touch "$W/remade$n"
done
