#!/bin/sh
# Writes a row for each region that it is given.
set -eu
for region in "$@"; do
    echo "$region,$(printf %s "$region" | wc -c)"
done > rows.csv
