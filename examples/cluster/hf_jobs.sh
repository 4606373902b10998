#!/bin/bash
# Hugging Face Jobs: every job asks one shard on a disk of its own and uploads its folder. First: hf upload me/answers plan.json --repo-type dataset
# Then: hf download me/answers --repo-type dataset --local-dir parts && dreamframe merge answers parts/answers-*
#       dreamframe run parts/plan.json --session answers --yes -o rows.parquet
set -eu
repo=me/answers n=${1:-8}
for i in $(seq 0 $((n - 1))); do
    hf jobs run --detach --secrets HF_TOKEN --secrets OPENAI_API_KEY --timeout 6h me/dreamframe bash -c "
        hf download $repo plan.json --repo-type dataset --local-dir . &&
        { dreamframe run plan.json --shard $i/$n --session answers-$i --yes --quiet; code=\$?; } ;
        hf upload $repo answers-$i answers-$i --repo-type dataset && exit \$code"
done
