#!/bin/bash
# A Slurm array: every task asks one shard, all on one folder of a shared file system. First, in Python: open("plan.json", "w").write(df.to_json())
#   job=$(sbatch --parsable --export=ALL examples/cluster/slurm.sh)
#   sbatch --dependency=afterany:$job --wrap 'dreamframe run plan.json --session answers --yes -o rows.parquet'
#SBATCH --job-name=dreamframe
#SBATCH --array=0-63
#SBATCH --requeue
#SBATCH --cpus-per-task=1
#SBATCH --time=12:00:00
set -eu
cd "${SLURM_SUBMIT_DIR:-.}"
dreamframe run plan.json --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" --session answers --yes --quiet
