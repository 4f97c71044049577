#!/bin/sh
# Reads what the file before it wrote: both work in the directory of the run.
set -eu
echo "$(wc -l < rows.csv) rows of $# regions"
