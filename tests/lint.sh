#!/bin/bash
# SPDX-License-Identifier: MPL-2.0
# usage: lint.sh BUILD   The rules of the tree that a machine can check: licence lines, layers (from the
# includes and from the symbols of the archives), format, forbidden functions, cppcheck.
set -u
build=$1
bad=0

complain() {
	echo "lint: $*" >&2
	bad=1
}

sources=$(find engine net mail lmtp imap tools tests bench fuzz -name '*.[ch]' 2>/dev/null)
scripts=$(find tools tests bench fuzz .ci -type f \( -name '*.sh' -o -name '*.py' -o -path '.ci/run' \) 2>/dev/null)

for file in $sources; do
	head -n 1 "$file" | grep -q 'SPDX-License-Identifier: MPL-2.0' || complain "$file: no SPDX line"
done
for file in $scripts Makefile; do
	head -n 3 "$file" | grep -q 'SPDX-License-Identifier: MPL-2.0' || complain "$file: no SPDX line"
done

# include FOLDER REGEX: what files below FOLDER may include of ours.
includes() {
	grep -rnE '^#include "' --include='*.[ch]' "$1" 2>/dev/null | grep -vE "#include \"($2)" |
		while read -r line; do echo "lint: layer: $line" >&2; done
	! grep -rnE '^#include "' --include='*.[ch]' "$1" 2>/dev/null | grep -qvE "#include \"($2)"
}
includes engine/base 'engine/base/' || bad=1
includes engine 'engine/' || bad=1
includes net 'engine/base/|engine/env\.h|engine/task\.h|engine/io\.h|net/' || bad=1
includes mail 'engine/base/|mail/' || bad=1
includes lmtp 'engine/|mail/|net/|lmtp/' || bad=1
includes imap 'engine/|mail/|net/|imap/' || bad=1

ev=$(grep -rlE '^#include <ev\.h>' --include='*.[ch]' engine net mail lmtp imap tools 2>/dev/null)
[ "$ev" = net/loop.c ] || complain "<ev.h> belongs in net/loop.c alone, found in: $ev"

clang-format --dry-run --Werror $sources 2>&1 | grep -E '(error|warning):' | head -n 20 >&2
[ "${PIPESTATUS[0]}" -eq 0 ] || complain "formatted otherwise: run \`make format\`"

# The engine reaches the world only through env: none of these may be undefined in its objects.
world='open|openat|fopen|creat|read|write|pread|pwrite|preadv|pwritev|socket|connect|bind|listen|accept|send|recv|poll|select|epoll_wait|clock_gettime|time|gettimeofday|random|rand|srandom|getrandom|getentropy|arc4random|randombytes_buf|randombytes_random|pthread_create|usleep|nanosleep|fork|system|popen|getenv'
found=$(nm -u "$build/libengine.a" | awk '{ print $2 }' | sed 's/@.*//' | grep -xE "$world" | sort -u)
[ -z "$found" ] || complain "engine uses the world directly: $(echo $found)"
found=$(nm -u "$build/libmail.a" | awk '{ print $2 }' | sed 's/@.*//' | grep -xE "$world" | sort -u)
[ -z "$found" ] || complain "mail does I/O: $(echo $found)"

# All archives end in one program: a name means one thing.
found=$(nm --defined-only -g "$build"/lib*.a 2>/dev/null | awk 'NF == 3 { print $3 }' | sort | uniq -d)
[ -z "$found" ] || complain "defined twice: $(echo $found)"

# Functions that have a safer form in this tree.
banned='strcpy|strcat|sprintf|vsprintf|strtok|gets|atoi|atol|alloca|strncpy|strncat'
found=$(nm -u "$build"/lib*.a | awk '{ print $2 }' | sed 's/@.*//' | grep -xE "$banned" | sort -u)
[ -z "$found" ] || complain "forbidden functions: $(echo $found)"

# Memory of the engine and the servers goes through engine/base/memory.h.
for archive in engine mail lmtp imap; do
	found=$(cd "$build" && find $archive -name '*.o' ! -path '*/base/memory.o' -print0 |
		xargs -0 nm -uA | grep -E ' U (malloc|calloc|realloc|strdup|strndup|asprintf)$')
	[ -z "$found" ] || complain "allocates past memory.h: $found"
done

grep -rnE '\b(TODO|FIXME|XXX|HACK)\b' --include='*.[ch]' --include='*.md' --include='*.sh' engine net mail lmtp imap tools tests docs ./*.md 2>/dev/null |
	grep -v tests/lint.sh && complain "unfinished business in the text"

# What fuzzing finds belongs in fuzz/corpus, under a name that says what it is.
git ls-files 2>/dev/null | grep -E '^(crash|leak|oom|timeout|slow-unit)-' && complain "a fuzzer's finds in the root of the tree"

# autoVariables: a coroutine's locals live while it waits, and are what it waits on. uninitvar: 2.10
# does not see that cursor_copy() and env_random() fill what they are given; the compiler does.
# nullPointer in layout.c: a loop finds something because the one around it counts what is left.
# identicalConditionAfterEarlyExit: what is asked again after a wait may have changed meanwhile.
cppcheck --quiet --std=c11 --suppress=autoVariables --suppress=uninitvar --suppress=uninitStructMember \
	--suppress=identicalConditionAfterEarlyExit --suppress=nullPointer:engine/layout/layout.c \
	--enable=warning,portability --inline-suppr --suppress=missingIncludeSystem \
	--suppress=unusedFunction -I. -D_GNU_SOURCE --error-exitcode=1 -j "$(nproc)" \
	$(ls -d engine net mail lmtp imap tools fuzz 2>/dev/null) || complain "cppcheck"

[ $bad -eq 0 ] && echo "lint: clean"
exit $bad
