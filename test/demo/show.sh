# Sourced by the demo: how it speaks. Colours only on a terminal that has
# them; the same words otherwise.

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ] && [ "${TERM:-dumb}" != dumb ]; then
	bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' blue=$'\e[34m'
	plain=$'\e[0m'
else
	bold= dim= green= red= blue= plain=
fi

# A chapter of the story.
chapter()
{
	printf '\n%s%s%s\n' "$bold" "$*" "$plain"
	printf '%s%s%s\n\n' "$dim" "${*//?/─}" "$plain"
}

# A sentence of the story.
tell()
{
	printf '%s\n' "$*" | fold -s -w 78 | sed 's/[[:space:]]*$//'
}

# Something that is now known to be true.
well()
{
	printf '  %s✓%s %s\n' "$green" "$plain" "$*"
}

# Something is wrong; ends the demo.
fail()
{
	printf '  %s✗ %s%s\n' "$red" "$*" "$plain" >&2
	exit 1
}

# Runs SQL on node N, quietly; prints bare values.
ask()
{
	local node=$1
	shift
	PGPORT=${ports[$node]} "$bin/psql" -XqAt -v ON_ERROR_STOP=1 -c "$*"
}

# Runs SQL on node N and shows statement and answer as a person would see them.
show()
{
	local node=$1
	shift
	printf '  %snode%s=#%s %s\n' "$blue" "$node" "$plain" "$*"
	PGPORT=${ports[$node]} "$bin/psql" -Xq -v ON_ERROR_STOP=1 \
		-P border=1 -P linestyle=unicode -P null=∅ -P footer=off -c "$*" |
		sed 's/^/  /; s/[[:space:]]*$//' | sed -e :a -e '/^\n*$/{$d;N;ba' -e '}'
}

# Asks node N until the answer is t; fails with the words of $2 after a minute.
until_true()
{
	local node=$1 what=$2 end=$((SECONDS + 60))
	shift 2
	until [ "$(ask "$node" "$*" 2>/dev/null || true)" = t ]; do
		[ $SECONDS -lt $end ] || fail "waited a minute: $what"
		read -r -t 0.1 <> <(:) || true
	done
}
