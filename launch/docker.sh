#!/usr/bin/env bash
# One machine with Docker, with or without an NVIDIA GPU (then with the NVIDIA Container Toolkit).
#
#   launch/docker.sh COMMAND [--accelerator=cpu|cuda|tpu] [--image=clusterjax:ACCELERATOR] [--dry-run]
#
# build  the image of this checkout
# run    the program: [--name=clusterjax] [--runs=./runs] [--data=FOLDER] -- --config=configs/alexnet_ir.py [more flags]
# logs   follow what it prints, from another terminal
# stop   it; the program saves, and the same run goes on from there
# push   the image to where its name says, for launch/gke.sh
#
# The container writes as you, into the folder runs, and nowhere else. Files that flags name lie in the folder data, which
# the program sees as data/ and cannot write: -- --job=scan --map=data/map.fits ...
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=launch/steps.sh
source "$here/steps.sh"

accelerator=cpu name=${CLUSTERJAX_NAME:-clusterjax} image=${CLUSTERJAX_IMAGE:-} runs=$PWD/runs data=""
parse_options "build run logs stop push" "accelerator name image runs data" "" "$@"
case $accelerator in cpu | cuda | tpu) ;; *) fail "--accelerator=$accelerator is unknown; use cpu, cuda or tpu" ;; esac
image=${image:-clusterjax:$accelerator}
need_tool docker https://docs.docker.com/engine/install

run() {
  local options=()
  need_program
  [ "$accelerator" != cuda ] || options=(--gpus=all)
  step mkdir -p "$runs" # or Docker would make it, as root
  if [ -n "$data" ]; then
    [ -d "$data" ] || fail "--data=$data is no folder"
    options+=("--volume=$(cd "$data" && pwd):/clusterjax/data:ro")
  fi
  $dry_run || runs=$(cd "$runs" && pwd)
  step docker run --rm --init "--name=$name" ${options[@]+"${options[@]}"} "--user=$(id -u):$(id -g)" \
    --stop-timeout=120 --shm-size=2g "--volume=$runs:/clusterjax/runs" \
    "$image" "${program[@]}"
}

case $command in
  build) step docker build "--file=$here/Dockerfile" "--build-arg=ACCELERATOR=$accelerator" "--tag=$image" "$here/.." ;;
  run) run ;;
  logs) step docker logs --follow --tail=100 "$name" ;;
  stop) step docker stop "$name" ;;
  push) step docker push "$image" ;;
esac
