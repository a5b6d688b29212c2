#!/bin/sh
# Take out of the R that apt has just installed what no server reads.
set -eu
ls /usr/lib/R /usr/share/R; du -sm /usr/lib/R /usr/share/R
