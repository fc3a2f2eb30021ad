#!/bin/sh
# Takes one safeguard after another away and requires that the campaign notices.
#
#   run.sh [REPORT]    from anywhere in the repository; REPORT gets the section "Removals"
#
# Each patch is applied to a copy of the last commit. Its text says which safeguard
# goes, and which kinds of fault need it. ONLY=name tries one and writes nothing.
# Noticed is what says which figure is off: a campaign that only takes too long has
# proven nothing.
set -u

root=$(git rev-parse --show-toplevel) || exit 1
report=${1:-}
copy=$(mktemp -d)
trap 'git -C "$root" worktree remove --force "$copy/tree" 2>/dev/null; rm -rf "$copy"' EXIT
trap 'exit 1' INT TERM
git -C "$root" worktree add --quiet --detach "$copy/tree" HEAD || exit 1
ln -s "$root/deploy/embedded/node_modules" "$copy/tree/deploy/embedded/node_modules"

{
	echo "## Removals"
	echo
	echo "\`make faults-removals\` takes one safeguard after another away; the campaign must fail each time."
	echo
	echo "| taken away | noticed | by |"
	echo "|---|---|---|"
} >"$copy/section"
unnoticed=0
for patch in "$root"/internal/faults/removals/${ONLY:-*}.patch; do
	name=$(basename "$patch" .patch)
	intent=$(sed -n 1p "$patch")
	kinds=$(sed -n 's/^Kinds: //p' "$patch")
	git -C "$copy/tree" checkout --quiet -- . && git -C "$copy/tree" apply "$patch" || exit 1
	echo "removed: $name: $intent"
	(cd "$copy/tree" && FAULTS=30 SEED=1 FAULTS_KINDS="$kinds" BROKER=kfake FAULTS_REPORT='' \
		go test ./internal/faults -count=1 -timeout 30m -v -run '^TestCampaign$') >"$copy/out" 2>&1
	wrong=$(sed -n 's/^.*WRONG: //p' "$copy/out" | head -n 1 | cut -c 1-220 | tr '|' '/')
	after=$(sed -n 's/^ *after \([0-9]* faults\), seed.*/\1/p' "$copy/out" | head -n 1)
	slow=$(printf '%s' "$wrong" | grep -E '^(not (recovered|settled) within|kafka has not taken|the others do not go on|cannot )')
	if [ -n "$wrong" ] && [ -z "$slow" ]; then
		printf '%s\n' "noticed after $after: $wrong"
		printf '%s\n' "| $name: $intent | after $after | $wrong |" >>"$copy/section" # echo would read its backslashes
	else
		echo "NOT NOTICED; the campaign said:"
		tail -n 20 "$copy/out"
		echo "| $name: $intent | **no** | |" >>"$copy/section"
		unnoticed=$((unnoticed + 1))
	fi
done
if [ -n "$report" ] && [ -z "${ONLY:-}" ]; then
	echo >>"$copy/section"
	awk -v section="$copy/section" '
		/^## / { ours = ($0 == "## Removals"); if (ours) while ((getline line < section) > 0) print line }
		!ours' "$report" >"$copy/report" && cat "$copy/report" >"$report"
fi
exit "$unnoticed"
