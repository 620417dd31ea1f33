#!/bin/bash
# A stage as a job of a cluster that runs already: `clusters/submit.sh http://HEAD:8265 [STAGE]`.
# docs/clusters.md, "ray job submit". The clone travels as the job's folder, without what is large;
# journal and tables are kept in the home of the head's user, so the same command resumes there.
# Checked: shellcheck; run in bash with a replacement for ray. Not on a cluster of several machines.
set -euo pipefail
address=${1:?usage: clusters/submit.sh http://HEAD:8265 [STAGE]}
stage=${2:-sweep}
cd "$(dirname "$0")/.."

case $stage in
    sweep | confirm) ;;
    *) echo "error: got stage '$stage'; accepts sweep or confirm" >&2 && exit 2 ;;
esac

# The job's folder has no .git, so the commit is passed on to the rows.
if [ -z "${GSA_COMMIT:-}" ] && GSA_COMMIT=$(git rev-parse HEAD 2>/dev/null); then
    git diff --quiet HEAD -- . ':(exclude)dvc.lock' ':(exclude)reports' ':(exclude)data' ||
        GSA_COMMIT+=-dirty
fi
[[ ${GSA_COMMIT:-} =~ ^([0-9a-f]{40}|[0-9a-f]{64})(-dirty)?$ ]] || {
    echo "error: GSA_COMMIT: got '${GSA_COMMIT:-}'; in a folder without .git set it to the" \
        "commit's 40 hexadecimal digits, with -dirty after them if files were changed" >&2
    exit 2
}

# shellcheck disable=SC2016
job='
    keep=$HOME/gsa-study
    mkdir -p "$keep/state" "$keep/$0" data
    ln -sfn "$keep/state" .state
    python -m pipeline "$0"
    cp -r "data/$0/." "$keep/$0/"
'
export RAY_AUTH_MODE=token
# The prepared data are in a .gitignore, which Ray would follow.
export RAY_RUNTIME_ENV_IGNORE_GITIGNORE=1
exec ray job submit --address "$address" --runtime-env-json '{
    "working_dir": ".",
    "env_vars": {"GSA_COMMIT": "'"$GSA_COMMIT"'"},
    "excludes": [
        ".git", ".venv", ".state", ".dvc", "__pycache__", ".*_cache", ".hypothesis", "*.egg-info",
        "/reports", "/data/raw", "/data/confirm", "/tests"
    ]
}' -- bash -euc "$job" "$stage"
