#!/bin/sh
# Makes build/vs/flower, once.
exec sh "$(dirname "$0")/../environment.sh" flower
