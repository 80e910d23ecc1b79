#!/usr/bin/env python3
"""effbench's suite `serve` and llama.cpp's `llama-bench` on one GGUF file, in turn on one machine; prints the ratios.

    cargo build --release
    benches/against_llama.py --model SmolLM2-135M.gguf --text text.txt --llama-bench llama.cpp/build/bin/llama-bench

A prompt of 512 tokens, then 128 one by one, behind each depth of --depths. Sequences at once (--batches) are raced against
`llama-batched-bench` of the same folder, at depth 0: there the prompt is of each sequence, and only its decoding is compared.

Each round runs both programs once, one after the other, so that a machine's slow minutes fall on both. A ratio is effbench's tokens
per second over llama.cpp's within a round; printed are its median, lowest and highest over the rounds. Of llama.cpp the better of its
flash attention on and off counts (--flash), round by round.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile

PROMPT, GENERATE = 512, 128


def ours(asked, depth, batch, prompt):
    """Prompts' and generated tokens per second, and peak bytes."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder, "out.json")
        sets = {
            "model.context": prompt + GENERATE,
            "infer.prompt": prompt,
            "infer.generate": GENERATE,
            "infer.depth": depth,
            "infer.batch": batch,
            "compute.threads": asked.threads,
        }
        sets |= dict(one.split("=", 1) for one in asked.set)
        command = [asked.effbench, "run", "serve", "--variants", asked.model, "--data", asked.text, "--out", out]
        command += [word for key, value in sets.items() for word in ("--set", f"{key}={value}")]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        metrics = json.loads(out.read_text())["trials"][0]["metrics"]
        value = lambda name: metrics[name]["value"] if name in metrics else None
        return value("prefill_tokens_per_s"), value("decode_tokens_per_s"), value("peak_memory_bytes")


def theirs(asked, depth, batch, prompt):
    """The same of llama.cpp, but for its bytes."""
    best = (0.0, 0.0)
    for flash in asked.flash.split(","):
        common = ["-m", asked.model, "-t", str(asked.threads), "-fa", flash]
        if batch == 1:
            command = [asked.llama_bench, *common, "-p", str(prompt), "-n", str(GENERATE), "-d", str(depth)]
            command += ["-r", "1", "-o", "json"]
            rows = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            found = [next(row["avg_ts"] for row in rows if row[key]) for key in ("n_prompt", "n_gen")]
        else:
            batched = pathlib.Path(asked.llama_bench).with_name("llama-batched-bench")
            command = [batched, *common, "-c", str(batch * (prompt + GENERATE)), "-npp", str(prompt)]
            command += ["-ntg", str(GENERATE), "-npl", str(batch), "--output-format", "jsonl"]
            lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
            row = next(json.loads(line) for line in lines if line.startswith("{"))
            found = [row["speed_pp"], row["speed_tg"]]
        best = tuple(max(pair) for pair in zip(best, found))
    return best


def spread(values):
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--effbench", default="target/release/effbench")
    parser.add_argument("--llama-bench", required=True)
    parser.add_argument("--model", required=True, help="a GGUF file")
    parser.add_argument("--text", required=True, help="what is in the cache and in the prompts of effbench")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--depths", default="0,2048,8192")
    parser.add_argument("--batches", default="8")
    parser.add_argument("--flash", default="0,1", help="llama.cpp's flash attention; the better one counts")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="handed on to effbench")
    asked = parser.parse_args()
    rows = [(int(depth), 1, PROMPT) for depth in asked.depths.split(",") if depth]
    rows += [(0, int(batch), PROMPT // 8) for batch in asked.batches.split(",") if batch]
    print(f"{'depth':>6} {'batch':>5}  {'prompts':26} {'generation':26} ours tok/s    theirs        ours peak  n", flush=True)
    for depth, batch, prompt in rows:
        own, other = [], []
        for _ in range(asked.rounds):
            own.append(ours(asked, depth, batch, prompt))
            other.append(theirs(asked, depth, batch, prompt))
        prefill, decode = ([a[i] / b[i] for a, b in zip(own, other)] for i in (0, 1))
        middle = lambda runs: " ".join(f"{statistics.median(run[i] for run in runs):6.0f}" for i in (0, 1))
        peak = own[0][2]
        peak = f"{peak / 1e6:6.0f} MB" if peak else "  not known"
        print(f"{depth:6} {batch:5}  {spread(prefill):26} {spread(decode):26} {middle(own)} {middle(other)} {peak} {len(own):3}", flush=True)


if __name__ == "__main__":
    main()
