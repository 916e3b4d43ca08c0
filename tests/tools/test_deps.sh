#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# `make deps`: silent when nothing is missing; a package that cannot be had, in one line; sudo only when
# not root. apt and dpkg are played by scripts, which install nothing.
. "$(dirname "$0")/common.sh"

deps=$(cd "$(dirname "$0")/../../tools/dev" && pwd)/deps.sh
mkdir "$scratch/bin"
play() {
	printf '#!/bin/sh\n%s\n' "$2" >"$scratch/bin/$1"
	chmod +x "$scratch/bin/$1"
}
play dpkg-query 'for name; do :; done; case $name in here*) echo installed ;; *) exit 1 ;; esac'
play apt-get 'echo "$0 $*" >>"$CALLS"
case " $* " in
*" update "*) exit ${UPDATE:-0} ;;
*" nowhere "*) echo "Reading package lists..."; echo "E: Unable to locate package nowhere" >&2; exit 100 ;;
esac'
play sudo 'echo "sudo" >>"$CALLS"; exec "$@"'
play id 'echo ${ID:-0}'
CALLS=$scratch/calls
PATH=$scratch/bin:$PATH
export CALLS PATH ID UPDATE

expect 0 "nothing is missing" "$deps" here here-too
check "nothing is said, nothing is called" [ ! -s "$out" -a ! -e "$CALLS" ]
ID=0 expect 0 "one is missing" "$deps" here elsewhere
says "deps: installing elsewhere"
check "it alone is installed, without sudo" sh -c "grep -q 'install -y --no-install-recommends elsewhere$' '$CALLS' && ! grep -q sudo '$CALLS'"
ID=1000 expect 0 "the same for somebody else" "$deps" elsewhere
check "with sudo" grep -q sudo "$CALLS"
expect 1 "one that cannot be had" "$deps" here nowhere
says "deps: cannot install nowhere: E: Unable to locate package nowhere"
check "after another look at the lists" grep -q update "$CALLS"
check "in one line" [ "$(grep -vc '^deps: installing' "$out")" -eq 1 ]
UPDATE=100 expect 1 "no network" "$deps" nowhere
check "in one line, too" [ "$(grep -vc '^deps: installing' "$out")" -eq 1 ]
rm "$scratch/bin/apt-get"
ln -s "$(command -v dash || command -v sh)" "$scratch/bin/sh"
PATH=$scratch/bin expect 1 "not Debian" "$deps" elsewhere
says "deps: this is not Debian; please install: elsewhere"

finish
