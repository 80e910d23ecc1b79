#!/usr/bin/env bash
# Everything that needs an NVIDIA GPU, in one command: the tests that wait for one, the doctor, the suites quick and
# throughput-gpu, and effbench beside another program on the same card. What comes of it lies in $OUT (by default ./gpu-out).
#
#   tests/gpu.sh [--peer SCRIPT]             builds, packs and runs
#   tests/gpu.sh --pack FILE.tar             builds and packs only: needs a CUDA toolkit, and no GPU
#   tests/gpu.sh --run FILE.tar [...]        runs a pack only: needs a GPU and CUDA's libraries, and neither cargo nor a toolkit
#
#   --peer SCRIPT    a program for benches/against_peer.py, run by python3: the same models, in turn, on the same card
#   --rounds N       of the race with the peer; by default 3
#   --skip STEPS     comma-separated: tests, doctor, quick, throughput, peer
#
# The pack holds the program and its test program, stripped and compressed, and stays below 64 MiB. Where the toolkit is not
# installed as usual, EFFBENCH_CUDA_LINK may hold what rustc needs to link (-L DIR -C link-arg=...).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
pack= only= peer= rounds=3 skip=
while [ $# -gt 0 ]; do
    case $1 in --pack|--run|--peer|--rounds|--skip)
        [ $# -gt 1 ] || { echo "gpu.sh: $1 lacks its value" >&2; exit 2; } ;;
    esac
    case $1 in
        --pack) only=build pack=$2 ;;
        --run) only=run pack=$2 ;;
        --peer) peer=$(realpath "$2") ;;
        --rounds) rounds=$2 ;;
        --skip) skip=$2 ;;
        *) sed -n '2,/^set/{/^set/!p}' "$0" | sed 's/^# \{0,1\}//' >&2; exit 2 ;;
    esac
    shift 2
done
most_bytes=$((64 << 20))
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Links with EFFBENCH_CUDA_LINK without RUSTFLAGS, which would rebuild every dependency: rustc calls `cc`. Build scripts and
# macros run on this machine, which may have no driver, and are linked as ever.
linker() {
    [ -n "${EFFBENCH_CUDA_LINK:-}" ] || return 0
    local real link
    real=$(command -v cc)
    link=$(printf '%s' "$EFFBENCH_CUDA_LINK" | sed -e 's/-C link-arg=//g' -e 's/-L /-L/g')
    mkdir -p "$scratch/bin"
    cat >"$scratch/bin/cc" <<CC
#!/bin/sh
case " \$* " in *" -c "*|*" -E "*|*" -shared "*|*build_script*) exec $real "\$@" ;; esac
exec $real "\$@" $link
CC
    chmod +x "$scratch/bin/cc"
    PATH=$scratch/bin:$PATH
}

build() {
    command -v nvcc >/dev/null || { echo "gpu.sh: no nvcc on the PATH: install a CUDA toolkit, or name a pack with --run" >&2; exit 2; }
    local target=${CARGO_TARGET_DIR:-$here/../target/cuda} tests
    cd "$here/.."
    linker
    cargo build --release --locked --features cuda --bin effbench --target-dir "$target"
    tests=$(cargo test --release --locked --features cuda --lib --no-run --target-dir "$target" --message-format=json |
        sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
    [ -x "$tests" ] || { echo "gpu.sh: cargo built no test program" >&2; exit 2; }
    mkdir "$scratch/pack"
    strip -o "$scratch/pack/effbench" "$target/release/effbench"
    strip -o "$scratch/pack/tests" "$tests"
    pack_up
}

pack_up() {
    local bytes
    gzip -9 "$scratch/pack/effbench" "$scratch/pack/tests"
    cp "$here/gpu.sh" "$here/../benches/against_peer.py" "$scratch/pack/"
    tar -cf "$pack" -C "$scratch/pack" .
    bytes=$(stat -c %s "$pack")
    [ "$bytes" -lt $most_bytes ] || { echo "gpu.sh: $pack has $bytes bytes, more than $most_bytes" >&2; exit 1; }
    echo "$pack: $((bytes >> 20)) MiB"
}

# Where PyTorch keeps CUDA's libraries, for a machine that has no others.
libraries() {
    python3 - 2>/dev/null <<'PY' || true
import glob, os, site, sys
roots = site.getsitepackages() + [site.getusersitepackages()] + [p for p in sys.path if p.endswith("-packages")]
folders = [f for r in dict.fromkeys(roots) for f in glob.glob(os.path.join(r, "nvidia", "*", "lib"))]
print(":".join(folders))
PY
}

failed=()
# step NAME FILE COMMAND...: what it prints goes to FILE, and a failure is told and does not end the run.
step() {
    local name=$1 file=$2 began code=0
    shift 2
    case ",$skip," in *",$name,"*) return 0 ;; esac
    began=$(date +%s)
    "$@" >"$OUT/$file" 2>&1 || code=$?
    echo "== $name: $([ $code = 0 ] && echo ok || echo "failed with $code"), $(($(date +%s) - began)) s, $OUT/$file"
    [ $code = 0 ] || { failed+=("$name"); tail -n 8 "$OUT/$file" | sed 's/^/   /'; }
}

run() {
    if ! command -v nvidia-smi >/dev/null || ! nvidia-smi -L 2>/dev/null | grep -q '^GPU'; then
        echo "gpu.sh: there is no NVIDIA GPU here: nvidia-smi lists none. Make a pack with --pack, and --run it where there is one" >&2
        exit 2
    fi
    [ -f "$pack" ] || { echo "gpu.sh: there is no pack at $pack" >&2; exit 2; }
    mkdir -p "$OUT" "$scratch/run"
    tar -xf "$pack" -C "$scratch/run"
    gunzip "$scratch"/run/*.gz
    chmod +x "$scratch/run/effbench" "$scratch/run/tests"
    cd "$scratch/run"
    if ! ./effbench --version >/dev/null 2>&1; then
        export LD_LIBRARY_PATH=$(libraries)${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
        ./effbench --version >/dev/null || {
            echo "gpu.sh: the program does not start: CUDA's libraries (cublas, curand, nvrtc, cudart) are not to be found; install them, or PyTorch, or set LD_LIBRARY_PATH" >&2
            exit 2
        }
    fi
    step machine machine.txt nvidia-smi
    step tests tests.txt gpu_tests
    step doctor doctor.txt ./effbench doctor
    step quick quick.txt ./effbench run quick --device cuda --fresh --out "$OUT/quick-gpu.json"
    step throughput throughput.txt ./effbench run throughput-gpu --device cuda --fresh --out "$OUT/throughput-gpu.json"
    if [ -n "$peer" ]; then
        step peer peer.txt race
    fi
    [ ${#failed[@]} -eq 0 ] || { echo "gpu.sh: failed: ${failed[*]}" >&2; exit 1; }
    echo "gpu.sh: all of it went well; $OUT holds what came of it"
}

# A pack without such tests shows nothing.
gpu_tests() {
    ./tests on_the_gpu --ignored --test-threads=1 | tee "$scratch/tests.log"
    [ "${PIPESTATUS[0]}" = 0 ] || return 1
    # Where a training step of 124M parameters goes, kernel by kernel.
    [ ! -f step-profile.txt ] || cp step-profile.txt "$OUT/"
    ! grep -q '^running 0 tests' "$scratch/tests.log" || { echo "no test of this pack begins with on_the_gpu"; return 1; }
}

race() {
    local ours="python3 against_peer.py --effbench ./effbench --device cuda --arches gpt2 --rounds $rounds"
    $ours --shapes 124m-bf16 --modes bf16,compile-bf16 -- python3 "$peer" &&
        $ours --shapes 124m-f32 --modes eager,compile -- python3 "$peer"
}

OUT=$(realpath -m "${OUT:-gpu-out}")
[ -z "$pack" ] || pack=$(realpath -m "$pack")
[ -n "$pack" ] || pack=$scratch/pack.tar
[ "$only" = run ] || build
[ "$only" = build ] || run
