#!/usr/bin/env bash
# GPU nodes of a Slurm cluster. Run it on a login node, in a checkout that all nodes see.
#
#   launch/slurm.sh COMMAND --name=NAME [--dry-run]
#
# submit  queue the program: [--nodes=1] [--gpus-per-node=1] [--cpus-per-gpu=8] [--time=24:00:00] [--partition=P]
#         [--account=A] [--restarts=20] -- --config=configs/alexnet_ir.py [more flags]
# logs    follow what it prints
# status  of the job
# cancel  the job
#
# One process a GPU. Preempted, or two minutes before its time is over, the program saves and the job is queued again.
# name, partition and account can also come from CLUSTERJAX_NAME, CLUSTERJAX_PARTITION, CLUSTERJAX_ACCOUNT.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=launch/steps.sh
source "$here/steps.sh"

name=${CLUSTERJAX_NAME:-} partition=${CLUSTERJAX_PARTITION:-} account=${CLUSTERJAX_ACCOUNT:-}
nodes=1 gpus_per_node=1 cpus_per_gpu=8 time=24:00:00 restarts=20
parse_options "submit logs status cancel" \
  "name partition account nodes gpus-per-node cpus-per-gpu time restarts" "" "$@"
need name
need_number nodes gpus-per-node cpus-per-gpu restarts
log=runs/slurm-$name.log

submit() {
  local options line
  need_program
  need_tool sbatch https://slurm.schedmd.com
  need_tool uv https://docs.astral.sh/uv
  options=("--job-name=$name" "--nodes=$nodes" "--ntasks-per-node=$gpus_per_node" "--gpus-per-node=$gpus_per_node"
    "--cpus-per-task=$cpus_per_gpu" "--time=$time" "--signal=TERM@120" --requeue --open-mode=append "--output=$log")
  [ -z "$partition" ] || options+=("--partition=$partition")
  [ -z "$account" ] || options+=("--account=$account")
  # Once, here: compute nodes often have no network, and one uv a GPU would install over the others.
  step uv sync --no-dev --extra cuda
  step mkdir -p runs
  line="CLUSTERJAX_SIGTERM_STATUS=143 srun --kill-on-bad-exit=1 .venv/bin/python -m clusterjax.main --distributed $(quoted "${program[@]}")"
  # 143: the program saved on SIGTERM. Slurm queues a preempted job again by itself, one whose time is over it does not.
  step sbatch "${options[@]}" "--wrap=$line
status=\$?
[ \$status -ne 143 ] || [ \${SLURM_RESTART_COUNT:-0} -ge $restarts ] || scontrol requeue \$SLURM_JOB_ID
exit \$status"
}

cd "$here/.."
case $command in
  submit) submit ;;
  logs) step tail -n 100 -F "$log" ;;
  status) need_tool squeue https://slurm.schedmd.com && step squeue "--name=$name" --me ;;
  cancel) need_tool scancel https://slurm.schedmd.com && step scancel "--name=$name" --me ;;
esac
