#!/bin/sh
# Checks the engine on a GPU in under three minutes: exactness, waits of the host, speed and memory. Run it in the root of
# the repository, with a Python that has a CUDA PyTorch and the package's dependencies; results also go to gpu_check.json.
#
#     tools/gpu_check.sh                 # on the GPU
#     tools/gpu_check.sh --device cpu    # small sizes, to try the script itself
set -eu
cd "$(dirname "$0")/.."
PYTHONPATH=src exec "${PYTHON:-python3}" tools/gpu_check.py "$@"
