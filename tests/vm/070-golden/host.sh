#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Runs on the host, beside the VM: what the golden images have, and what is expected of them.
set -eu
"$TOP/tests/vm/070-golden/prepare.py" "$1" || touch "$1/failed"
