#!/bin/sh
# Stands in for an executor that cannot start.
read -r secrets
echo 'no room for the cache' >&2
exit 3
