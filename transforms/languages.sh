#!/usr/bin/env bash
# The transforms in every other language, as `make transforms` built them: tests
# their SDKs, runs the shared cases on each, and makes a project from each template.
#
#   transforms/languages.sh RELAY COMPONENTS
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
relay=$(realpath "$1")
components=$(cd "$2" && pwd)
stage=$here/../.ci/stage

for language in c go js python; do
	"$stage" "$language SDK tested" "$here/$language/test.sh"
	"$stage" "$language transforms pass the shared cases" "$here/cases.sh" "$relay" "$components/$language"
done
"$stage" "a project made from each template" "$here/templates.sh" "$relay"
