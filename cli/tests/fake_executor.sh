#!/bin/sh
# Stands in for an executor: reads its secrets as one does, and stays until it is ended.
read -r secrets
echo "started with $1"
exec sleep 600
