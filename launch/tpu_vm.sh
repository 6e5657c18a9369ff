#!/usr/bin/env bash
# Create a cloud TPU VM (all hosts of a slice), copy this checkout to it, and start the program on every host.
# Usage: launch/tpu_vm.sh NAME ZONE [ACCELERATOR] -- --config=configs/alexnet_ir.py [more flags]
# Needs the Google Cloud command line, logged in. Delete the machine yourself:  gcloud compute tpus tpu-vm delete NAME
set -euo pipefail

usage() { sed -n '3p' "$0" | sed 's/^# //' >&2; exit 2; }
[ $# -ge 3 ] || usage
name=$1 zone=$2 accelerator=v5litepod-8
shift 2
if [ "$1" != -- ]; then accelerator=$1; shift; fi
[ "${1:-}" = -- ] || usage
shift

cd "$(dirname "$0")/.."
tpu=(gcloud compute tpus tpu-vm)
if ! "${tpu[@]}" describe "$name" --zone "$zone" >/dev/null 2>&1; then
  "${tpu[@]}" create "$name" --zone "$zone" --accelerator-type "$accelerator" --version v2-alpha-tpuv5-lite
fi
archive=$(mktemp --suffix .tar.gz)
trap 'rm -f "$archive"' EXIT
git archive --format tar.gz --prefix clusterjax/ HEAD >"$archive"
"${tpu[@]}" scp "$archive" "$name:clusterjax.tar.gz" --zone "$zone" --worker all
arguments=$(printf ' %q' "$@")
"${tpu[@]}" ssh "$name" --zone "$zone" --worker all --command \
  "tar xzf clusterjax.tar.gz && cd clusterjax && pip install uv && ~/.local/bin/uv run --extra tpu python -m clusterjax.main --distributed$arguments"
