#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# aerofsck as people meet it: on a terminal that asks, shows progress and is interrupted; and as
# programs do: the document of --json against its description in the manual.
set -eu
exec /usr/bin/python3 "$(dirname "$0")/terminal.py" "$AEROSTORE_BUILD/aerofsck" tests/format/golden/1-spine.tar.gz docs/man/aerofsck.8
