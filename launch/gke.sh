#!/usr/bin/env bash
# Kubernetes (GKE) with JobSet installed: TPU slices, or nodes with GPUs. Needs kubectl, set to the cluster.
#
#   launch/gke.sh COMMAND --name=NAME [--namespace=default] [--dry-run]
#
# apply   run the image of launch/docker.sh: --image=IMAGE --claim=VOLUME_CLAIM [--hosts=1] [--restarts=20] [--spot]
#         TPU: --topology=2x4 [--accelerator=tpu-v5-lite-podslice] [--chips=4]  (chips: of one host)
#         GPU: --accelerator=nvidia-l4 [--chips=1]
#         -- --config=configs/alexnet_ir.py [more flags]
# render  print the manifest that apply would use
# status  of its pods
# logs    follow what host 0 prints
# fetch   copy the volume into a folder here: --claim=VOLUME_CLAIM --image=IMAGE --to=FOLDER
# delete  the job; the volume stays
#
# The claim is of a volume that all hosts can write (ReadWriteMany, as Filestore gives). Preempted or failed, all hosts
# start again and go on from the last checkpoint. name, namespace, image and claim can also come from CLUSTERJAX_NAME, ...
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=launch/steps.sh
source "$here/steps.sh"

name=${CLUSTERJAX_NAME:-} namespace=${CLUSTERJAX_NAMESPACE:-default}
image=${CLUSTERJAX_IMAGE:-} claim=${CLUSTERJAX_CLAIM:-}
accelerator=tpu-v5-lite-podslice topology="" chips="" hosts=1 restarts=20 spot=false to=""
parse_options "apply render status logs fetch delete" \
  "name namespace image claim accelerator topology chips hosts restarts to" spot "$@"
need name namespace
need_number hosts restarts
[[ $name =~ ^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$ ]] ||
  fail "--name=$name is no name for Kubernetes; use up to 40 small letters, digits and -, a letter first"
kubectl=(kubectl "--namespace=$namespace")

# A string of YAML in single quotes.
yaml() {
  [[ $1 != *$'\n'* ]] || fail "a flag must not hold a line break: $1"
  printf "'%s'" "${1//\'/\'\'}"
}

lines() { # INDENT LINE ...
  local indent=$1 line all=""
  shift
  for line; do all="$all${all:+$'\n'}$(printf '%*s' "$indent" '')$line"; done
  printf %s "$all"
}

manifest() {
  local text selector environment arguments=() placement=() word resource user
  if [[ $accelerator == tpu* ]]; then
    resource=google.com/tpu user=0 # the TPU's device files belong to root
    chips=${chips:-4}
    need topology
    selector=("cloud.google.com/gke-tpu-accelerator: $(yaml "$accelerator")"
      "cloud.google.com/gke-tpu-topology: $(yaml "$topology")")
    # All hosts on one node pool, which is one slice.
    placement=("annotations:" "  alpha.jobset.sigs.k8s.io/exclusive-topology: cloud.google.com/gke-nodepool")
    # GKE tells the hosts of a slice of each other; jax reads it.
    environment=("- {name: JAX_PLATFORMS, value: 'tpu,cpu'}")
  else
    resource=nvidia.com/gpu user=1000
    chips=${chips:-1}
    selector=("cloud.google.com/gke-accelerator: $(yaml "$accelerator")")
    environment=("- {name: CLUSTERJAX_COORDINATOR, value: '$name-hosts-0-0.$name:8476'}"
      "- {name: CLUSTERJAX_NUM_HOSTS, value: '$hosts'}"
      "- {name: CLUSTERJAX_HOST_INDEX, valueFrom: {fieldRef: {fieldPath: \"metadata.annotations['batch.kubernetes.io/job-completion-index']\"}}}")
  fi
  need_number chips
  ! $spot || selector+=("cloud.google.com/gke-spot: 'true'")
  for word in "${program[@]}"; do arguments+=("- $(yaml "$word")"); done
  text=$(sed '/^#/d' "$here/jobset.yaml")
  text=${text//@NAME@/"$name"} text=${text//@NAMESPACE@/"$(yaml "$namespace")"} text=${text//@RESTARTS@/"$restarts"}
  text=${text//@HOSTS@/"$hosts"} text=${text//@RESOURCE@/"$resource"} text=${text//@CHIPS@/"$chips"}
  text=${text//@USER_ID@/"$user"} text=${text//@CLAIM@/"$(yaml "$claim")"} text=${text//@IMAGE@/"$(yaml "$image")"}
  text=${text//@PLACEMENT@/"$(lines 2 ${placement[@]+"${placement[@]}"})"}
  text=${text//@NODE_SELECTOR@/"$(lines 16 "${selector[@]}")"}
  text=${text//@ENVIRONMENT@/"$(lines 20 "${environment[@]}")"}
  text=${text//@ARGUMENTS@/"$(lines 20 "${arguments[@]}")"} # last: what the user gives is not looked through
  printf '%s\n' "$text"
}

apply() {
  local text
  text=$(manifest)
  if $dry_run; then
    printf 'kubectl apply --filename=- <<MANIFEST\n%s\nMANIFEST\n' "$text"
  else
    printf '%s\n' "$text" | step kubectl apply --filename=-
  fi
}

# Of a finished job no container is left to copy from: a small pod opens the volume.
fetch() {
  local pod=$name-fetch status=0 spec
  [[ $claim$image != *[\"\\]* ]] || fail "--claim and --image must not hold quotes"
  spec='{"spec": {"securityContext": {"runAsUser": 1000, "fsGroup": 1000}, "containers": [{"name": "fetch", "image": "'$image'",'
  spec="$spec"' "command": ["sleep", "86400"], "volumeMounts": [{"name": "runs", "mountPath": "/runs"}]}], "volumes":'
  spec="$spec"' [{"name": "runs", "persistentVolumeClaim": {"claimName": "'$claim'"}}]}}'
  step mkdir -p "$to"
  step "${kubectl[@]}" run "$pod" "--image=$image" --restart=Never "--overrides=$spec"
  { step "${kubectl[@]}" wait --for=condition=Ready "pod/$pod" --timeout=600s &&
    step "${kubectl[@]}" cp "$pod:/runs" "$to"; } || status=$?
  step "${kubectl[@]}" delete pod "$pod" --now
  return "$status"
}

[ "$command" = render ] || need_tool kubectl https://kubernetes.io/docs/tasks/tools
case $command in
  apply | render)
    need image claim
    need_program
    if [ "$command" = render ]; then manifest; else apply; fi
    ;;
  status) step "${kubectl[@]}" get pods "--selector=jobset.sigs.k8s.io/jobset-name=$name" --output=wide ;;
  logs)
    step "${kubectl[@]}" logs --follow --tail=100 \
      "--selector=jobset.sigs.k8s.io/jobset-name=$name,batch.kubernetes.io/job-completion-index=0"
    ;;
  fetch)
    need image claim to
    fetch
    ;;
  delete) step "${kubectl[@]}" delete jobset "$name" ;;
esac
