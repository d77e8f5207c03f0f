#!/usr/bin/env bash
# The transforms in every other language: builds them, tests their SDKs, runs the
# shared cases on each, and makes a project from each template.
#
#   transforms/languages.sh RELAY [OUTDIR]        OUTDIR: <repo>/target/components
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
relay=$(realpath "$1")
mkdir -p "${2:-$here/../target/components}"
out=$(cd "${2:-$here/../target/components}" && pwd)
stage=$here/../.ci/stage

for language in c go js python; do
	"$stage" "$language transforms built" "$here/$language/build.sh" "$out"
	"$stage" "$language SDK tested" "$here/$language/test.sh"
	"$stage" "$language transforms pass the shared cases" "$here/cases.sh" "$relay" "$out/$language"
done
"$stage" "a project made from each template" "$here/templates.sh" "$relay"
