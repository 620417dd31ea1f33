#!/bin/bash
# A stage as a job of a cluster that runs already: `clusters/submit.sh http://HEAD:8265 [STAGE]`.
# docs/clusters.md, "ray job submit". The clone travels as the job's folder, without what is large;
# journal and tables are kept in the home of the head's user, so the same command goes on there.
set -euo pipefail
address=${1:?usage: clusters/submit.sh http://HEAD:8265 [STAGE]}
stage=${2:-sweep}
cd "$(dirname "$0")/.."

case $stage in
    sweep | confirm) ;;
    *) echo "error: got stage '$stage'; accepts sweep or confirm" >&2 && exit 2 ;;
esac

# shellcheck disable=SC2016
job='
    keep=$HOME/gsa-study
    mkdir -p "$keep/state" "$keep/$0" data
    ln -sfn "$keep/state" .state
    python -m pipeline "$0"
    cp -r "data/$0/." "$keep/$0/"
'
export RAY_AUTH_MODE=token
exec ray job submit --address "$address" --runtime-env-json '{
    "working_dir": ".",
    "excludes": [".git", ".venv", ".state", ".dvc", "reports", "data/raw", "data/confirm", "tests"]
}' -- bash -euc "$job" "$stage"
