#!/usr/bin/env bash
# pip.sh PYTHON ARGUMENT...: pip as CPython bundles it, on the interpreter it installs for: nothing is asked of the machine's own Python.
set -euo pipefail
python=$1 action=$2
shift 2
exec "$python" "$(echo "${python%/bin/*}"/lib/python3.13*/ensurepip/_bundled/pip-*.whl)/pip" "$action" --quiet --disable-pip-version-check \
  $([ "$action" != install ] || echo --no-compile --root-user-action=ignore) "$@"
