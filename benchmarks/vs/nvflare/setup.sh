#!/bin/sh
# Makes build/vs/nvflare, once.
exec sh "$(dirname "$0")/../environment.sh" nvflare
