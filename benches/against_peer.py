#!/usr/bin/env python3
"""effbench's suites `throughput` and `throughput-gpu` and another program that trains the same models, in turn on one machine;
prints the ratios.

    cargo build --release
    benches/against_peer.py --rounds 3 -- python3 my_torch_train.py
    benches/against_peer.py --set compute.products=bf16 --modes compile,compile-bf16 -- python3 my_torch_train.py
    benches/against_peer.py --device cuda --shapes 124m-bf16 --modes bf16,compile-bf16 -- python3 my_torch_train.py

The other program is yours: it gets --arch gpt2|llama --layers L --width W --heads H --context T --batch B --vocab V
--mode MODE, with --device also --device DEVICE, trains random tokens for some steps, and prints one line of JSON with
`tokens_per_s` and `peak_memory_bytes`, and where it knows `units`, the instructions that it multiplied by. Its modes, such as eager, compile and bf16 for a PyTorch, are named with --modes.

Each round runs every program once, one after the other, so that a machine's slow minutes fall on all of them. A ratio is
effbench's tokens per second over the peer's within a round; printed are its median, lowest and highest over the rounds.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

SMALL = dict(layers=12, width=768, heads=12, context=1024, batch=16, vocab=50257)
SHAPES = {  # As in models/suites/throughput.toml and throughput-gpu.toml.
    "s": dict(layers=4, width=128, heads=4, context=128, batch=16, vocab=256),
    "m": dict(layers=6, width=384, heads=6, context=256, batch=8, vocab=256),
    "v": dict(layers=4, width=256, heads=8, context=256, batch=8, vocab=8192),
    "124m-bf16": SMALL,
    "124m-f32": SMALL,
}


def ours(effbench, arch, shape, device, sets):
    """Tokens per second, peak bytes and the units that multiplied, of one cell."""
    suite = "throughput-gpu" if SHAPES[shape] is SMALL else "throughput"
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder, "out.json")
        command = [effbench, "run", suite, "--variants", arch, "--scales", shape, "--repeats", "1", "--out", out]
        if device:
            command += ["--device", device]
        for one in sets:
            command += ["--set", one]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        found = json.loads(out.read_text())
        metrics = found["trials"][0]["metrics"]
        return metrics["train_tokens_per_s"]["value"], metrics["peak_memory_bytes"]["value"], units(found)


def units(found):
    """What multiplied: the widest unit of the processor that the asked-for products use."""
    compute, features = found["trials"][0]["spec"]["compute"], found["machines"][0]["cpu"]["features"]
    if compute["device"] != "cpu":
        return f"{compute['device']} in {compute.get('dtype', 'f32')}"
    widest = ("amx-bf16", "avx512bf16") if compute.get("products") == "bf16" else ("avx512f", "avx2", "neon")
    return next((unit for unit in widest if unit in features), "none known")


def theirs(peer, arch, shape, mode, device):
    """The same of the peer; None where it fails, with its last line of complaint."""
    options = [word for name, value in SHAPES[shape].items() for word in (f"--{name}", str(value))]
    options += ["--device", device] if device else []
    done = subprocess.run([*peer, "--arch", arch, *options, "--mode", mode], capture_output=True, text=True)
    if done.returncode != 0:
        print(f"  {mode} failed: {(done.stderr.strip().splitlines() or ['no word'])[-1]}", file=sys.stderr)
        return None
    found = json.loads(done.stdout.strip().splitlines()[-1])
    return found["tokens_per_s"], found["peak_memory_bytes"], found.get("units", "not said")


def spread(values):
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--effbench", default="target/release/effbench")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--modes", default="eager", help="of the peer, comma-separated")
    parser.add_argument("--arches", default="gpt2,llama")
    parser.add_argument("--shapes", default="s,m,v")
    parser.add_argument("--device", default="", help="handed on to both")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="handed on to effbench")
    parser.add_argument("peer", nargs="+", help="the other program, after --")
    asked = parser.parse_args()
    print(f"{'cell':16} {'mode':14} {'speed ratio (lowest to highest)':32} {'memory ratio':14} ours tok/s  n  units", flush=True)
    for shape in asked.shapes.split(","):
        for arch in asked.arches.split(","):
            speed, memory, own, used = {}, {}, [], {}
            for _ in range(asked.rounds):
                tokens, bytes_, used["ours"] = ours(asked.effbench, arch, shape, asked.device, asked.set)
                own.append(tokens)
                for mode in asked.modes.split(","):
                    if found := theirs(asked.peer, arch, shape, mode, asked.device):
                        speed.setdefault(mode, []).append(tokens / found[0])
                        used[mode] = found[2]
                        if bytes_ is not None:
                            memory.setdefault(mode, []).append(bytes_ / found[1])
            for mode, ratios in speed.items():
                lean = f"{statistics.median(memory[mode]):.2f}" if mode in memory else "not known"
                row = f"{arch + '/' + shape:16} {mode:14} {spread(ratios):32} {lean:14}"
                print(f"{row} {statistics.median(own):10.0f}  {len(ratios)}  {used['ours']} / {used[mode]}", flush=True)


if __name__ == "__main__":
    main()
