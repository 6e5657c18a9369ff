#!/usr/bin/env bash
# Everything that benchmarks/README.md says of one GPU, measured again. The whole has not been timed yet.
#
#     bash benchmarks/on_gpu.sh [STEP ...]      steps: scan ensemble loop networks slow_networks small kernels
#
# From the environment: PYTHON (has clusterjax), TORCH_PYTHON (has torch, torchvision and timm; default: PYTHON),
# PEAK_TFLOPS and PEAK_TB_PER_S of the device (default: an H100's in bfloat16), LIMIT (seconds a step may take).
# A step that fails or takes longer is named at the end and the others go on; then the exit status is 1. Networks that
# torch.compile takes minutes for are compiled into its cache meanwhile, at low priority.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

PYTHON=${PYTHON:-python3}
TORCH_PYTHON=${TORCH_PYTHON:-$PYTHON}
LIMIT=${LIMIT:-300}
peak=(--peak_tflops "${PEAK_TFLOPS:-798}" --peak_tb_per_s "${PEAK_TB_PER_S:-3.0}")
slow=(densenet121 inception_v3)
all=(scan kernels loop ensemble networks small slow_networks)
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1 XLA_PYTHON_CLIENT_PREALLOCATE=false
# Several times quicker to compile, and no slower in what was compared
export XLA_FLAGS=${XLA_FLAGS:---xla_gpu_autotune_level=2 --xla_gpu_enable_triton_gemm=false}
export JAX_COMPILATION_CACHE_DIR=${JAX_COMPILATION_CACHE_DIR:-/tmp/clusterjax_compiled}

failed=()
run() { # a benchmark's name and arguments
    echo "### $*"
    local started=$SECONDS
    timeout "$LIMIT" "$PYTHON" "benchmarks/$1.py" "${@:2}" || failed+=("$* (status $?)")
    echo "### $((SECONDS - started)) s"
}

networks() { # names and arguments
    run models "$@" --size 224 --bfloat16 --workers 4 --torch_compile --torch_python "$TORCH_PYTHON" "${peak[@]}"
}

compile_meanwhile() { # a network: its code into torch.compile's cache
    local build='{"name": "%s", "size": 224, "batch_size": 128, "compile": "default", "bfloat16": true, "num_threads": 4}'
    # shellcheck disable=SC2059  # the format is ours
    printf "{\"build\": $build}\n{\"time\": \"forward\", \"steps\": 1}\n{\"time\": \"train\", \"steps\": 1}\n" "$1" |
        timeout 900 nice -n 15 "$TORCH_PYTHON" benchmarks/models_torch.py > /dev/null 2>&1 &
}

steps=("$@")
(($# > 0)) || steps=("${all[@]}")
for step in "${steps[@]}"; do
    [[ " ${all[*]} " == *" $step "* ]] || { echo "no step $step; there are ${all[*]}" >&2; exit 2; }
done
if [[ " ${steps[*]} " == *" slow_networks "* ]]; then
    for name in "${slow[@]}"; do compile_meanwhile "$name"; done
fi
for step in "${steps[@]}"; do
    case $step in
        scan) run scan --model baseline --map_size 4096 --batch_size 1024 --batches 24 --repeats 3 --dtype bfloat16 "${peak[@]:0:2}" ;;
        kernels) run kernels resnet18 alexnet_vgg --size 224 --batch_size 256 --bfloat16 ;;
        loop) run train alexnet_vgg resnet18 --size 224 --batch_size 256 --dtype bfloat16 --torch_compile default \
            --torch_python "$TORCH_PYTHON" --repeats 3 --data_dir /tmp/clusterjax_datasets ;;
        ensemble) for model in baseline kosiba_cn; do for dtype in bfloat16 float32; do
            run ensemble --model $model --dtype $dtype --repeats 15
        done; done ;;
        networks) networks alexnet_vgg resnet18 --batch_size 256 --inner 10 --repeats 4
            networks resnet50 mobilenet_v1 efficientnet_b0 vit_b16 --batch_size 128 --inner 10 --repeats 4 ;;
        small) run models alexnet_vgg resnet18 mobilenet_v1 vit_tiny --size 64 --batch_size 256 --bfloat16 --inner 20 \
            --workers 4 --torch_compile --torch_python "$TORCH_PYTHON" "${peak[@]}" ;;
        slow_networks) wait; networks "${slow[@]}" --batch_size 128 --inner 8 --repeats 3 ;;
    esac
done
((${#failed[@]} == 0)) || { printf 'not measured: %s\n' "${failed[@]}" >&2; exit 1; }
