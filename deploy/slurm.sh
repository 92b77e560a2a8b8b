#!/usr/bin/env bash
# The build under Slurm: `sbatch deploy/slurm.sh SOURCE DATASET [OPTIONS]`. Requeued or submitted again, it goes on.
#SBATCH --job-name=dreamreel
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=48
#SBATCH --gpus-per-node=4
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --signal=B:TERM@300
# Five minutes before its time is up the driver is asked to finish what is in hand; the rest follows in the next job.
set -euo pipefail

source "${DREAMREEL_HOME:?set it to the checkout}/.venv/bin/activate"
port=$((20000 + SLURM_JOB_ID % 10000)) # two jobs on one machine must not meet
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
address=$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname --ip-address | awk '{print $1}'):$port

srun --nodes=1 --ntasks=1 --nodelist="$head" --overlap \
    ray start --head --node-ip-address="${address%:*}" --port="$port" --disable-usage-stats --block &
sleep 15
if [ "$SLURM_NNODES" -gt 1 ]; then
    srun --nodes=$((SLURM_NNODES - 1)) --ntasks=$((SLURM_NNODES - 1)) --exclude="$head" --overlap \
        ray start --address="$address" --disable-usage-stats --block &
fi

dreamreel build "$@" --ray "$address" &
driver=$!
trap 'kill -TERM "$driver"' TERM
status=0
wait "$driver" || status=$?
while kill -0 "$driver" 2>/dev/null; do # the trap ends `wait` before the driver has finished what is in hand
    status=0
    wait "$driver" || status=$?
done
if [ "$status" -eq 130 ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
