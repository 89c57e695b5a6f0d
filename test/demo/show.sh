# Sourced by the demo: how it speaks. Colours and moving lines only on a
# terminal that has them; the same words otherwise.

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ] && [ "${TERM:-dumb}" != dumb ]; then
	bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' blue=$'\e[34m'
	plain=$'\e[0m' again=$'\r\e[K'
else
	bold= dim= green= red= blue= plain= again=
fi

# A chapter of the story.
chapter()
{
	printf '\n%s%s%s\n' "$bold" "$*" "$plain"
	printf '%s%s%s\n\n' "$dim" "${*//?/─}" "$plain"
}

# Sentences of the story.
tell()
{
	printf '%s\n' "$*" | fold -s -w 78 | sed 's/[[:space:]]*$//'
}

# Something that is now known to be true.
well()
{
	printf '%s  %s✓%s %s\n' "$again" "$green" "$plain" "$*"
}

# Something is wrong; ends the demo.
fail()
{
	printf '%s  %s✗ %s%s\n' "$again" "$red" "$*" "$plain" >&2
	exit 1
}

# How far something is that takes its time; the next line takes its place.
progress()
{
	[ -z "$again" ] || printf '%s  %s⋯ %s%s' "$again" "$dim" "$*" "$plain"
}

# Takes a tenth of a second.
breathe()
{
	read -r -t 0.1 <> <(:) || true
}

# step WHAT COMMAND ...: runs it, with progress, and says how long it took;
# shows what it printed only if it failed.
step()
{
	local what=$1 began=$EPOCHREALTIME pid output=$home/output
	shift
	"$@" >"$output" 2>&1 </dev/null &
	pid=$!
	[ -n "$again" ] || printf '  … %s\n' "$what"
	while kill -0 "$pid" 2>/dev/null; do
		progress "$what $(seconds_since "$began" 0) s"
		breathe
	done
	wait "$pid" || { tail -n 20 "$output"; fail "$what"; }
	rm -f "$output"
	well "$what ($(seconds_since "$began" 1) s)"
}

# seconds_since START DIGITS
seconds_since()
{
	awk -v a="$1" -v b="$EPOCHREALTIME" -v d="$2" 'BEGIN {printf "%.*f", d, b - a}'
}

# 1234567 as 1,234,567
grouped()
{
	sed -E ':a; s/^(-?[0-9]+)([0-9]{3})/\1,\2/; ta' <<<"$1"
}

# Runs SQL on node N, quietly; prints bare values.
ask()
{
	local node=$1
	shift
	PGPORT=${ports[$node]} "$bin/psql" -XqAt -v ON_ERROR_STOP=1 -c "$*"
}

# The statement as somebody would have typed it on node N.
typed()
{
	local node=$1
	shift
	printf '  %snode%s=#%s %s\n' "$blue" "$node" "$plain" "${*//$'\n'/$'\n          '}"
}

# Runs SQL on node N that answers nothing; shows it, and what it remarks.
tell_node()
{
	local said
	typed "$@"
	said=$(ask "$@" 2>&1 >/dev/null) || fail "$said"
	[ -z "$said" ] || { fold -s -w 74 <<<"$said" | sed "s/^/  $dim/; s/[[:space:]]*\$/$plain/"; }
}

# Runs a query on node N; shows it and its answer.
show()
{
	local answer
	typed "$@"
	answer=$(PGPORT=${ports[$1]} "$bin/psql" -Xq -v ON_ERROR_STOP=1 \
		-P border=1 -P linestyle=unicode -P null=∅ -P footer=off -c "${*:2}")
	[ "$(wc -l <<<"$answer")" -gt 2 ] || answer+=$'\n(0 rows)'
	indented <<<"$answer"
}

indented()
{
	sed 's/^/  /; s/[[:space:]]*$//' | sed -e :a -e '/^\n*$/{$d;N;ba' -e '}'
	echo
}

# A table like psql's of what stands in stdin, fields by tabs, the head first;
# all columns but the first to the right.
drawn()
{
	awk -F '\t' '
		{ for (i = 1; i <= NF; i++) { cell[NR, i] = $i; if (length($i) > w[i]) w[i] = length($i) } n = NF }
		END {
			for (r = 1; r <= NR; r++) {
				line = ""
				for (i = 1; i <= n; i++)
					line = line (i > 1 ? "│" : "") sprintf(i == 1 ? " %-*s " : " %*s ", w[i], cell[r, i])
				print line
				if (r > 1) continue
				line = ""
				for (i = 1; i <= n; i++) {
					dash = sprintf("%*s", w[i] + 2, ""); gsub(/ /, "─", dash)
					line = line (i > 1 ? "┼" : "") dash
				}
				print line
			}
		}' | indented
}

# Asks node N until the answer is t; fails with the words of $2 after a minute.
until_true()
{
	local node=$1 what=$2 end=$((SECONDS + 60))
	shift 2
	until [ "$(ask "$node" "$*" 2>/dev/null || true)" = t ]; do
		[ $SECONDS -lt $end ] || fail "waited a minute: $what"
		breathe
	done
}
