#!/usr/bin/env bash
# Copies verifier/ alone into an environment with no package installed, not even pip, and lets it judge a proof there.
# usage: bare_venv.sh DIR [BUNDLE]     DIR: a publication that must be accepted; BUNDLE: an inclusion file that belongs to it
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
publication=$(realpath -e "${1:?usage: bare_venv.sh DIR [BUNDLE]}")
bundle=${2:+$(realpath -e "$2")}

box=$(mktemp -d)
trap 'rm -rf "$box"' EXIT
"${PYTHON:-python3}" -m venv --without-pip "$box/venv"
cp -R "$root/verifier" "$box/verifier"
find "$box/verifier" -name __pycache__ -prune -exec rm -rf {} +
cd "$box"

fail() { echo "bare environment: $*" >&2; exit 1; }
# A clean environment: no PYTHONPATH, no user packages, nothing but the folder that was copied.
bare() { env -i PATH=/usr/bin:/bin LC_ALL=C.UTF-8 PYTHONNOUSERSITE=1 "$box/venv/bin/python" -W error "$@"; }
# expect CODE WHAT ARGUMENTS...: runs the verifier, wants this exit code, and no traceback whatever the code
expect() {
    local want=$1 what=$2 code=0
    shift 2
    bare -m verifier "$@" >"$box/out" 2>"$box/err" || code=$?
    if ((code != want)) || grep -q '^Traceback' "$box/err"; then
        cat "$box/out" "$box/err" >&2
        fail "$what: exit code $code, expected $want"
    fi
}

[[ -z $(find "$box"/venv/lib/python3*/site-packages -mindepth 1 -print -quit) ]] || fail "something is installed"
# Only what the verifier brings in counts: a system's own start-up module (Debian has a sitecustomize) does not.
foreign=$(bare -c '
import sys
started_with = set(sys.modules)
import pkgutil, verifier
for module in pkgutil.walk_packages(verifier.__path__, "verifier."):
    if not module.name.endswith("__main__"):
        __import__(module.name)
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - started_with}
              - set(sys.stdlib_module_names) - {"verifier"}))
')
[[ -z $foreign ]] || fail "the verifier imports more than the standard library: $foreign"

expect 0 "a sound publication is accepted" "$publication"
cp "$box/out" "$box/verdict"
expect 2 "a folder that is not there is a usage error" "$box/nowhere"
if [[ -n $bundle ]]; then
    expect 0 "an honest inclusion bundle is accepted" inclusion "$bundle" --against "$publication"
fi
grep "^Verdict" "$box/verdict"
echo "bare environment: the verifier alone accepted $(basename "$publication")"
