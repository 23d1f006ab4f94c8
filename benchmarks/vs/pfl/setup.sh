#!/bin/sh
# Makes build/vs/pfl, once.
exec sh "$(dirname "$0")/../environment.sh" pfl
