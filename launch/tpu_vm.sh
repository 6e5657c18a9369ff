#!/usr/bin/env bash
# A cloud TPU VM slice, from its creation to its results. Needs the Google Cloud command line, logged in.
#
#   launch/tpu_vm.sh COMMAND --name=NAME --zone=ZONE [--project=PROJECT] [--dry-run]
#
# create   the slice: [--accelerator=v5litepod-8] [--runtime=v2-alpha-tpuv5-lite] [--spot] [--queued [--wait=SECONDS]]
# install  the last commit of this checkout on every host: [--share=HOST:/PATH], an NFS share for its folder runs/
# run      the program on every host: -- --config=configs/alexnet_ir.py [more flags]
# train    create, install and run; again until the program ends well: [--attempts=20] [--pause=60], flags as in run
# logs     follow what host 0 prints
# fetch    copy runs/ into a folder here: --to=FOLDER
# delete   the slice, which then costs nothing more
#
# name, zone, project and share can also come from CLUSTERJAX_NAME, CLUSTERJAX_ZONE, ...
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=launch/steps.sh
source "$here/steps.sh"

name=${CLUSTERJAX_NAME:-} zone=${CLUSTERJAX_ZONE:-} project=${CLUSTERJAX_PROJECT:-} share=${CLUSTERJAX_SHARE:-}
accelerator=v5litepod-8 runtime=v2-alpha-tpuv5-lite spot=false queued=false to=""
wait=86400 attempts=20 pause=60
parse_options "create install run train logs fetch delete" \
  "name zone project share accelerator runtime wait attempts pause to" "spot queued" "$@"
need name zone
need_number wait attempts pause
need_tool gcloud https://cloud.google.com/sdk/docs/install
where=("--zone=$zone")
[ -z "$project" ] || where+=("--project=$project")
tpus=(gcloud compute tpus)

# READY, CREATING, PREEMPTED, ...; NONE where there is no such slice.
node_state() {
  local state
  state=$("${tpus[@]}" tpu-vm describe "$name" "${where[@]}" '--format=value(state)' 2>/dev/null) || state=NONE
  printf %s "${state:-NONE}"
}

on_hosts() { # WORKER COMMAND
  step "${tpus[@]}" tpu-vm ssh "$name" "${where[@]}" "--worker=$1" "--command=$2"
}

# These are called where set -e is off: each command's failure is passed on by && or return.
create() {
  local tier=()
  ! $spot || tier=(--spot)
  if $queued; then
    step "${tpus[@]}" queued-resources create "$name" "${where[@]}" "--node-id=$name" \
      "--accelerator-type=$accelerator" "--runtime-version=$runtime" ${tier[@]+"${tier[@]}"} && wait_in_queue
  else
    step "${tpus[@]}" tpu-vm create "$name" "${where[@]}" \
      "--accelerator-type=$accelerator" "--version=$runtime" ${tier[@]+"${tier[@]}"}
  fi
}

wait_in_queue() {
  local state="" started=$SECONDS
  ! $dry_run || return 0
  while :; do
    state=$("${tpus[@]}" queued-resources describe "$name" "${where[@]}" '--format=value(state.state)') || return
    case $state in
      ACTIVE) return 0 ;;
      FAILED | SUSPENDED | SUSPENDING)
        printf 'error: the request %s is %s; see: gcloud compute tpus queued-resources describe %s\n' \
          "$name" "$state" "$(quoted "$name" "${where[@]}")" >&2
        return 1
        ;;
    esac
    if [ $((SECONDS - started)) -ge "$wait" ]; then
      fail "no capacity after $wait s; the request stays in the queue: launch/tpu_vm.sh delete takes it out"
    fi
    printf 'waiting for capacity: %s\n' "$state" >&2
    sleep "$((pause < 30 ? pause : 30))"
  done
}

delete() {
  if $queued; then
    step "${tpus[@]}" queued-resources delete "$name" "${where[@]}" --force --quiet
  else
    step "${tpus[@]}" tpu-vm delete "$name" "${where[@]}" --quiet
  fi
}

install() {
  local archive unpack mount
  [ -z "$(git -C "$here/.." status --porcelain)" ] || printf 'note: what is not committed stays here\n' >&2
  archive=$(mktemp) && git -C "$here/.." archive --format=tar.gz --prefix=clusterjax/ --output="$archive" HEAD || return
  # Later systems keep pip out of their own Python.
  unpack="tar xzf clusterjax.tar.gz && { pip install --user uv || pip install --user --break-system-packages uv; }"
  mount="mkdir -p clusterjax/runs"
  if [ -n "$share" ]; then
    mount="sudo apt-get install -y nfs-common && $mount && { mountpoint -q clusterjax/runs ||"
    mount="$mount sudo mount -t nfs $(quoted "$share") clusterjax/runs; } && sudo chown \"\$(id -u)\" clusterjax/runs"
  fi
  local status=0
  step "${tpus[@]}" tpu-vm scp "$archive" "$name:clusterjax.tar.gz" "${where[@]}" --worker=all &&
    on_hosts all "$unpack && $mount && cd clusterjax && \$HOME/.local/bin/uv sync --no-dev --extra tpu" || status=$?
  rm -f "$archive"
  return "$status"
}

# What the program prints also goes to clusterjax.log there, and how it ended to exit_status.
run() {
  local line
  # Not 0 after SIGTERM: of a slice that is taken away, the run is not finished.
  line="CLUSTERJAX_SIGTERM_STATUS=143 \$HOME/.local/bin/uv run --no-dev --extra tpu python -m clusterjax.main --distributed $(quoted "${program[@]}")"
  on_hosts all "cd clusterjax && rm -f exit_status && { $line 2>&1; echo \$? >exit_status; } | tee -a clusterjax.log; exit \"\$(cat exit_status)\""
}

# A slice that is there, with the program on it. A preempted one is deleted first: it cannot be started again.
ensure() {
  local state=NONE
  $dry_run || state=$(node_state)
  case $state in
    READY) return 0 ;;
    NONE) ! $again || ! $queued || delete || true ;;  # its request can outlive the slice
    PREEMPTED | TERMINATED | STOPPED) delete || return ;;
    *)
      printf 'the slice %s is %s\n' "$name" "$state" >&2 # on its way up or down: later
      return 1
      ;;
  esac
  create
}

again=false
train() {
  local attempt status
  ! $spot || [ -n "$share" ] || fail "--spot needs --share=HOST:/PATH: a preempted machine's disk is lost, results with it"
  for ((attempt = 1; attempt <= attempts; attempt++)); do
    status=0
    if ensure; then
      again=true
      { install && run; } || status=$?
      [ "$status" -ne 0 ] || return 0
    else
      $again || fail "the slice $name could not be had (see above); --queued waits for capacity"
    fi
    if [ "$(node_state)" = READY ] &&
      [ "$("${tpus[@]}" tpu-vm ssh "$name" "${where[@]}" --worker=0 '--command=cat clusterjax/exit_status' 2>/dev/null)" = 2 ]; then
      fail "the program refuses its flags or data (see above); the slice still runs: mend them, or delete it"
    fi
    printf 'attempt %s of %s ended early; again in %s s\n' "$attempt" "$attempts" "$pause" >&2
    sleep "$pause"
  done
  fail "gave up after $attempts attempts; the slice may still run: launch/tpu_vm.sh delete --name=$name --zone=$zone"
}

case $command in
  create) create ;;
  install) install ;;
  run) need_program && run ;;
  train) need_program && train ;;
  logs) on_hosts 0 "tail -n 100 -F clusterjax/clusterjax.log" ;;
  fetch)
    need to
    step mkdir -p "$to"
    step "${tpus[@]}" tpu-vm scp --recurse "$name:clusterjax/runs" "$to" "${where[@]}" --worker=0
    ;;
  delete) delete ;;
esac
