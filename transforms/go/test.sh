#!/usr/bin/env bash
# Tests of the Go SDK and template in native code; vets the transforms.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=transforms/tools.sh
. "$here/../tools.sh"
need_go
project=$root/target/guests/go/test
rm -rf "$project"
mkdir -p "$project"
cp -R "$here/template/." "$here/sdk" "$project"
export GOWORK=off
unformatted=$("$("$go" env GOROOT)/bin/gofmt" -l "$here")
[ -z "$unformatted" ] || { say "not as gofmt has it: $unformatted"; exit 1; }
(cd "$here/sdk" && "$go" vet . && "$go" test .)
(cd "$here" && "$go" vet ./...)
(cd "$project" && "$go" vet . && "$go" test .)
