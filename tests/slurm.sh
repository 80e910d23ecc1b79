#!/usr/bin/env bash
# A suite on a real Slurm cluster of one node, which this script starts: tasks are killed, the rest is submitted again, and
# the result must hold the trials of a local run, to the last bit of every loss.
#
#   tests/slurm.sh [EFFBENCH]      the program to test; by default target/release/effbench
#
# Needs root on Debian or Ubuntu; installs slurm-wlm, munge and jq where they are missing. Everything else happens in a
# scratch folder, and the daemons are stopped at the end.
set -euo pipefail
cd "$(dirname "$0")/.."
effbench=$(realpath "${1:-target/release/effbench}")
[ -x "$effbench" ] || { echo "no program at $effbench: cargo build --release first" >&2; exit 2; }

missing=()
command -v slurmctld >/dev/null || missing+=(slurm-wlm)
command -v munged >/dev/null || missing+=(munge)
command -v jq >/dev/null || missing+=(jq)
[ ${#missing[@]} -eq 0 ] || DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}" >/dev/null

work=$(mktemp -d)
chmod 755 "$work"
export SLURM_CONF=$work/slurm.conf
stop() {
    scancel --me 2>/dev/null || true
    for pid in "$work"/*.pid; do [ -e "$pid" ] && kill "$(cat "$pid")" 2>/dev/null || true; done
    sleep 1
    [ -n "${KEEP:-}" ] && echo "kept: $work" || rm -rf "$work"
}
trap stop EXIT

host=$(hostname -s)
mkdir -p "$work"/{state,spool,munge}
chmod 700 "$work/munge"
head -c 1024 /dev/urandom >"$work/munge/key"
chmod 400 "$work/munge/key"
munged --force --key-file="$work/munge/key" --socket="$work/munge/socket" --pid-file="$work/munged.pid" \
    --log-file="$work/munge/log" --seed-file="$work/munge/seed"
chmod 711 "$work/munge"
cat >"$SLURM_CONF" <<CONF
ClusterName=effbench
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$work/munge/socket
CryptoType=crypto/munge
SlurmctldPort=16817
SlurmdPort=16818
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd.log
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobCompType=jobcomp/none
MpiDefault=none
ReturnToService=2
MaxArraySize=3
SchedulerParameters=sched_interval=1,bf_interval=1
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=all Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
slurmctld
slurmd -N "$host" -d "$(command -v slurmstepd || echo /usr/sbin/slurmstepd)"

# wait_for SECONDS COMMAND...: until the command succeeds.
wait_for() {
    local left=$1
    shift
    until "$@"; do
        left=$((left - 1))
        [ $left -gt 0 ] || { echo "gave up waiting: $*" >&2; tail -n 20 "$work"/*.log "$work"/*.shards/*.log >&2; exit 1; }
        sleep 1
    done
}
idle() { sinfo -h -o %T 2>/dev/null | grep -q idle; }
nothing_left() { [ -z "$(squeue -h --me)" ]; }
wait_for 60 idle

sed -e 's/^repeats = 2/repeats = 4\ntune = { lr = [0.005, 0.01, 0.02] }/' -e 's/steps = .*/steps = [100, 1500]/' \
    tests/fixtures/tiny.toml >"$work/tiny.toml"
cd "$work"

echo "== local"
"$effbench" run tiny.toml --out local.json >local.log 2>&1 || { cat local.log >&2; exit 1; }

echo "== slurm, with a task killed"
"$effbench" run tiny.toml --executor slurm --out cluster.json
echo "== submitting again while parts wait submits nothing"
"$effbench" run tiny.toml --executor slurm --resume --out cluster.json >waiting.txt 2>&1
cat waiting.txt
grep -q "^Nothing is submitted" waiting.txt
if grep -q "job [0-9]" waiting.txt; then echo "slurm.sh: what waits was submitted again" >&2; exit 1; fi
# Tasks of this script alone, by their folder.
tasks() { pgrep -f "$work/.*shard [0-9]/4"; }
running() { tasks >/dev/null; }
wait_for 120 running
sleep 1
kill -KILL $(tasks)
wait_for 300 nothing_left
done_before=$(ls cluster.json.shards/[0-9].json | wc -l)
[ "$done_before" -lt 4 ] || { echo "nothing was lost by the kill: the script tests nothing" >&2; exit 1; }

echo "== slurm, the $((4 - done_before)) missing of 4 parts again"
"$effbench" run tiny.toml --executor slurm --resume --out cluster.json
wait_for 300 nothing_left
[ "$(ls cluster.json.shards/[0-9].json | wc -l)" = 4 ]
"$effbench" validate cluster.json

echo "== the same trials, the same bits"
losses='[.trials[] | {id, cell, repeat, status, train: .curve.train_loss_nats, val: .curve.val_loss_nats}] | sort_by(.id)'
jq -S "$losses" local.json >local.txt
jq -S "$losses" cluster.json >cluster.txt
cmp local.txt cluster.txt
trials=$(jq '.trials | length' cluster.json)
[ "$trials" = 40 ] || { echo "expected 40 trials, found $trials" >&2; exit 1; }

echo "== submitting once more submits nothing"
"$effbench" run tiny.toml --executor slurm --resume --out cluster.json >again.txt 2>&1
if grep -q "job [0-9]" again.txt; then echo "slurm.sh: what waits was submitted again" >&2; exit 1; fi
echo "slurm: $trials trials, ids and losses equal to the local run's"
