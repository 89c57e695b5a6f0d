# Sourced by the demo: the story. Every claim is looked up in the servers; if
# one is not true the demo says so and ends with exit code 1.
#
# Servers know each other by service names, which each looks up in a file of
# its own. So while the chapters that need it run, what node 1 and node 3 say
# to each other goes through two proxies (../proxy/linkproxy.c); later not.

pgbench_scale=5
pgbench_seconds=10
accounts=$((100000 * pgbench_scale))

# proxies by the side that connects: way to talk to it, process
declare -A proxy_in proxy_out proxy_pid

# ---------------------------------------------------------------- the link

# know N M PORT: from its next connection on, node N finds node M there.
know()
{
	local file=$home/services$1
	services[$1 $2]=$(printf '[node%s]\nhost=127.0.0.1\nport=%s\nuser=postgres\ndbname=postgres\n' "$2" "$3")
	printf '%s\n' "${services[$1 1]-}" "${services[$1 2]-}" "${services[$1 3]-}" > "$file.new"
	chmod 644 "$file.new"
	mv "$file.new" "$file"
}

# Puts a proxy on the connections node $1 makes to node $2.
put_proxy()
{
	local port=$((ports[$2] + 100)) in=$home/proxy$1.in out=$home/proxy$1.out fd
	until is_free "$port"; do port=$((port + 1)); done
	mkfifo "$in" "$out"
	exec {fd}<>"$in"; proxy_in[$1]=$fd
	exec {fd}<>"$out"; proxy_out[$1]=$fd
	(
		exec <"$in" >"$out"
		for fd in "${proxy_in[@]}" "${proxy_out[@]}"; do exec {fd}>&-; done
		exec build/linkproxy "127.0.0.1:$port" "127.0.0.1:${ports[$2]}"
	) &
	proxy_pid[$1]=$!
	know "$1" "$2" "$port"
}

# What the way from node $1 to node $2 shall do: pass, hold or delay MS.
way()
{
	order_proxy "$1" "up ${*:3}"
	order_proxy "$2" "down ${*:3}"
}

order_proxy()
{
	local answer
	echo "$2" >&"${proxy_in[$1]}"
	read -r -t 10 answer <&"${proxy_out[$1]}" || answer='no answer'
	[[ $answer == ok* ]] || fail "proxy: $2: $answer"
}

end_proxies()
{
	local node fd
	for node in "${!proxy_pid[@]}"; do
		kill "${proxy_pid[$node]}" 2>/dev/null || true
		wait "${proxy_pid[$node]}" 2>/dev/null || true
		fd=${proxy_in[$node]}; exec {fd}>&-
		fd=${proxy_out[$node]}; exec {fd}>&-
		rm -f "$home/proxy$node.in" "$home/proxy$node.out"
	done
	proxy_pid=() proxy_in=() proxy_out=()
}

# Ends what the story has started besides the servers.
end_children()
{
	local pid
	end_proxies
	for pid in $(jobs -p); do
		kill "$pid" 2>/dev/null || true
	done
}

# ---------------------------------------------------------------- the nodes

# Every node has what any of them had when this was called.
everywhere()
{
	local node token
	for node in $nodes; do
		token=$(ask "$node" 'SELECT causaldb.token()')
		for other in $nodes; do
			[ "$other" = "$node" ] || ask "$other" "SELECT causaldb.wait_for('$token', '60 s')" >/dev/null
		done
	done
}

# alike QUERY: its one value is the same on every node; prints it.
alike()
{
	local node value first
	first=$(ask 1 "$1")
	for node in 2 3; do
		value=$(ask "$node" "$1")
		[ "$value" = "$first" ] || fail "node $node differs from node 1: $1: '$value', not '$first'"
	done
	printf '%s\n' "$first"
}

# ---------------------------------------------------------------- chapters

meet()
{
	chapter 'One database becomes three'
	tell 'Node 1 has a database: two small tables and the tables of pgbench,' \
		"$(grouped $accounts) accounts." 
	echo
	typed 1 'CREATE TABLE post (id int PRIMARY KEY, who text, says text);'
	typed 1 'CREATE TABLE item (id int PRIMARY KEY, name text, price numeric, stock int);'
	ask 1 'CREATE TABLE post (id int PRIMARY KEY, who text, says text);
		CREATE TABLE item (id int PRIMARY KEY, name text, price numeric, stock int);
		INSERT INTO item VALUES (1, $$lamp$$, 20, 8)' >/dev/null
	typed 1 "INSERT INTO item VALUES (1, 'lamp', 20, 8);"
	step "pgbench -i -s $pgbench_scale" env PGPORT="${ports[1]}" "$bin/pgbench" -i -q -s $pgbench_scale
	echo
	tell 'The tables are tagged in place: nothing is rewritten, nothing is scanned.' \
		'pgbench_history has no primary key, so rows are only ever added to it.' \
		'Balances are counters: what is added at once on two nodes adds up.'
	echo
	tell_node 1 "SELECT causaldb.create_cluster('node1', 'service=node1');"
	local began=$EPOCHREALTIME
	tell_node 1 "SELECT causaldb.set_consistency(t, 'eventual')
FROM unnest('{post,item,pgbench_accounts,pgbench_tellers,
              pgbench_branches,pgbench_history}'::regclass[]) t;"
	tell_node 1 "SELECT causaldb.set_merge('pgbench_accounts', 'abalance', 'counter');"
	tell_node 1 "SELECT causaldb.set_merge('pgbench_tellers', 'tbalance', 'counter');"
	tell_node 1 "SELECT causaldb.set_merge('pgbench_branches', 'bbalance', 'counter');"
	well "six tables are tagged ($(seconds_since "$began" 1) s)"
	echo
	tell 'The other two are empty. They join and get schema, rows and tags.'
	echo
	local node
	for node in 2 3; do
		typed "$node" "SELECT causaldb.join_cluster('node$node', 'service=node$node',
                              'service=node1', copy => 'all');"
		step "node $node has joined" ask "$node" \
			"SELECT causaldb.join_cluster('node$node', 'service=node$node', 'service=node1', copy => 'all')"
	done
	for node in $nodes; do
		ask "$node" "SELECT causaldb.wait_until_ready('60 s')" >/dev/null
	done
	echo
	show 2 'SELECT id, name, state, here, orders_tags, running FROM causaldb.nodes;'
}

lose_a_ring()
{
	local seen last= began looks=0
	chapter 'The lost ring'
	tell 'A reply must never be seen before what it replies to. The line from' \
		'node 1 to node 3 is slow now: all it carries takes five seconds.'
	echo
	# after a second node 2 would pass on what node 1 said
	for node in $nodes; do
		ask "$node" "ALTER SYSTEM SET causaldb.relay_delay = '10 min'" >/dev/null
		ask "$node" 'SELECT pg_reload_conf()' >/dev/null
	done
	way 1 3 delay 5000

	tell_node 1 "INSERT INTO post VALUES (1, 'Ann', 'I lost my ring');"
	until_true 2 'node 2 has not heard of the ring' 'SELECT EXISTS (SELECT FROM post)'
	show 2 'SELECT * FROM post;'
	tell_node 2 "INSERT INTO post VALUES (2, 'Bob', 'found it!');"
	began=$EPOCHREALTIME
	until_true 3 'node 3 does not wait' \
		"SELECT count(*) = 1 FROM causaldb.streams WHERE node = 'node2' AND waiting_for IS NOT NULL"
	echo
	tell 'Node 3 has got the reply, but not what it replies to. It waits, and says' \
		'for whom and since when:'
	echo
	show 3 'SELECT * FROM post;'
	show 3 "SELECT node, waiting_for, waiting_since FROM causaldb.streams
WHERE waiting_for IS NOT NULL;"

	while :; do
		seen=$(ask 3 "SELECT coalesce(string_agg(says, ' / ' ORDER BY id), 'nothing') FROM post")
		looks=$((looks + 1))
		if [ "$seen" != "$last" ]; then
			case $seen in
				'found it!') fail 'node 3 shows the reply first' ;;
				*) well "after $(seconds_since "$began" 1) s node 3 shows: $seen" ;;
			esac
			last=$seen
		fi
		[ "$seen" != 'I lost my ring / found it!' ] || break
		[ "$(seconds_since "$began" 0)" -lt 60 ] || fail 'node 3 never shows the reply'
		progress "node 3 shows $seen, $(seconds_since "$began" 0) s"
		breathe
	done
	well "in $looks looks, never the reply alone"
	way 1 3 pass
	echo
	show 3 'SELECT * FROM post;'
}

write_at_once()
{
	local kept
	chapter 'Two nodes write at once'
	tell 'The line between node 1 and node 3 is dead. Both go on writing: first' \
		'different fields of one row.'
	echo
	everywhere
	way 1 3 hold
	way 3 1 hold
	tell_node 1 "UPDATE item SET price = 25 WHERE id = 1;"
	tell_node 3 "UPDATE item SET stock = 7 WHERE id = 1;"
	until_true 2 'node 2 has not heard of both' \
		'SELECT price = 25 AND stock = 7 FROM item WHERE id = 1'
	echo
	tell 'Then the same field:'
	echo
	tell_node 1 "UPDATE item SET name = 'desk lamp' WHERE id = 1;"
	tell_node 3 "UPDATE item SET name = 'floor lamp' WHERE id = 1;"
	show 1 'SELECT * FROM item;'
	show 3 'SELECT * FROM item;'
	tell 'The line is back.'
	echo
	way 1 3 pass
	way 3 1 pass
	everywhere
	kept=$(alike "SELECT item::text FROM item")
	[ "$kept" = '(1,"floor lamp",25,7)' ] || fail "the item has become $kept"
	show 2 'SELECT * FROM item;'
	well 'different fields: both writes survive, on every node'
	well 'the same field: the larger stamp wins, on every node'
	echo
	tell 'What lost is not gone:'
	echo
	show 1 'SELECT column_name, rule, kept_node, kept_value, lost_node, lost_value
FROM causaldb.conflicts;'
	[ "$(ask 1 "SELECT count(*) FROM causaldb.conflicts WHERE column_name = 'name'
		AND kept_value = 'floor lamp' AND lost_value = 'desk lamp'")" = 1 ] ||
		fail 'causaldb.conflicts does not have the loser'

	# node 1 and node 3 know each other's own ports from here on
	know 1 3 "${ports[3]}"
	know 3 1 "${ports[1]}"
	end_proxies
	for node in $nodes; do
		ask "$node" 'ALTER SYSTEM RESET causaldb.relay_delay' >/dev/null
		ask "$node" 'SELECT pg_reload_conf()' >/dev/null
		until_true "$node" "node $node has lost a peer" \
			"SELECT count(*) = 2 FROM causaldb.peers WHERE state = 'up'"
	done
}

# Starts stock TPC-B on a node for that many seconds; its words go to a file.
start_bank()
{
	"$bin/pgbench" -n -c 4 -T "$2" -h 127.0.0.1 -p "${ports[$1]}" >"$3" 2>&1 </dev/null &
	bank_pid[$1]=$!
}

# Succeeds while some bank is open.
banks_are_open()
{
	local node
	for node in $nodes; do
		! kill -0 "${bank_pid[$node]}" 2>/dev/null || return 0
	done
	return 1
}

# Shows the banks' progress until the clock says $1 seconds or all are closed.
watch_banks()
{
	local until=$1 now node line count shown=0
	while now=$(seconds_since "$bank_began" 0) && [ "$now" -lt "$until" ] && banks_are_open; do
		if [ "$now" -ge "$shown" ]; then
			line=
			for node in $nodes; do
				count=$(ask "$node" "SELECT count(*) FROM pgbench_history" 2>/dev/null) || count='down'
				[ "$count" = down ] || count=$(grouped "$count")
				line+=$(printf '   node%s %8s' "$node" "$count")
			done
			if [ -n "$again" ]; then
				progress "$(printf '%2s s   rows of pgbench_history:%s' "$now" "$line")"
			elif [ $((now % 3)) -eq 0 ]; then
				printf '  … %2s s   rows of pgbench_history:%s\n' "$now" "$line"
			fi
			shown=$((now + 1))
		fi
		breathe
	done
}

# SIGKILL, as when power fails; returns when no process of the server is left.
kill_server()
{
	local pid _
	pid=$(head -n 1 "$home/node$1/postmaster.pid")
	kill -KILL "$pid"
	until ! ls -l /proc/[0-9]*/cwd 2>/dev/null | grep -qF " -> $home/node$1"; do
		breathe
	done
	# Where nobody collects the dead (a container without an init), a new server
	# would take this one for alive by its number.
	for _ in {1..20}; do
		kill -0 "$pid" 2>/dev/null || return 0
		breathe
	done
	rm -f "$home/.s.PGSQL.$(sed -n 4p "$home/node$1/postmaster.pid").lock" "$home/node$1/postmaster.pid"
}

bank()
{
	local node acked=0 all said
	local -A bank_pid
	chapter 'A bank on three nodes, and one of them dies'
	tell "Stock TPC-B of pgbench on all three nodes at once, four clients each," \
		"for $pgbench_seconds seconds. Node 2 is killed with SIGKILL on the way and started" \
		'again.'
	echo
	for node in $nodes; do
		echo "  \$ pgbench -n -c 4 -T $pgbench_seconds -p ${ports[$node]} &"
	done
	bank_began=$EPOCHREALTIME
	for node in $nodes; do
		start_bank "$node" $pgbench_seconds "$home/bank$node"
	done
	watch_banks $((pgbench_seconds * 4 / 10))
	kill_server 2
	well "at $(seconds_since "$bank_began" 1) s node 2 is killed; its clients are cut off"
	watch_banks $((pgbench_seconds * 6 / 10))
	wait "${bank_pid[2]}" 2>/dev/null || true
	step 'node 2 is started again' start_server 2
	until_true 2 'node 2 does not take writes' "SELECT running = 'open' FROM causaldb.nodes WHERE here"
	start_bank 2 $((pgbench_seconds * 4 / 10)) "$home/bank2again"
	well "at $(seconds_since "$bank_began" 1) s node 2 takes clients again"
	watch_banks 100
	for node in $nodes; do
		if ! wait "${bank_pid[$node]}"; then
			tail -n 5 "$home/bank$node"
			fail "pgbench on node $node failed"
		fi
	done
	well 'all clients are done'
	for said in bank1 bank2 bank2again bank3; do
		acked=$((acked + $(sed -n 's/^number of transactions actually processed: \([0-9]*\).*/\1/p' "$home/$said" | grep . || echo 0)))
		rm -f "$home/$said"
	done
	step 'every node has what any of them had' everywhere
	echo

	all=$(alike 'SELECT count(*) FROM pgbench_history')
	[ "$all" -ge "$acked" ] || fail "clients were told of $acked commits, there are $all"
	tell "$(grouped "$acked") transactions were acknowledged to clients. Whatever a node told" \
		'somebody is on every node; the tables are identical:'
	echo
	same_tables
	tell 'And no money came or went:'
	echo
	same_sums
	[ "$(alike 'SELECT count(*) FROM causaldb.stalled')" = 0 ] || fail 'something is stalled'
}

# Digests of the tables, node by node.
same_tables()
{
	local node table
	for node in $nodes; do
		ask "$node" "$(for table in accounts tellers branches history; do
			printf "SELECT 'pgbench_%s', count(*), left(md5(sum(hashtextextended(t::text, 0)::numeric)::text), 12) FROM pgbench_%s t;" $table $table
		done)" | tr '|' '\t' > "$home/digest$node" &
	done
	wait
	paste "$home/digest1" "$home/digest2" "$home/digest3" | awk -F '\t' '
		BEGIN { print "table\trows\tdigest on node 1\ton node 2\ton node 3" }
		{ print $1 "\t" $2 "\t" $3 "\t" $6 "\t" $9 }' | drawn
	[ "$(wc -l < "$home/digest1")" = 4 ] &&
		cmp -s "$home/digest1" "$home/digest2" && cmp -s "$home/digest1" "$home/digest3" ||
		fail 'the tables differ'
	rm -f "$home"/digest?
	well 'identical on all nodes'
	echo
}

same_sums()
{
	local node sums
	for node in $nodes; do
		ask "$node" 'SELECT (SELECT sum(abalance) FROM pgbench_accounts),
			(SELECT sum(bbalance) FROM pgbench_branches),
			(SELECT sum(tbalance) FROM pgbench_tellers),
			(SELECT sum(delta) FROM pgbench_history)' | tr '|' '\n' > "$home/sums$node"
	done
	sums=$(sort -u "$home"/sums? | wc -l)
	printf '%s\n' 'sum(abalance)' 'sum(bbalance)' 'sum(tbalance)' 'sum(delta) of history' |
		paste - "$home/sums1" "$home/sums2" "$home/sums3" |
		{ printf 'sum\tnode 1\tnode 2\tnode 3\n'; cat; } | drawn
	rm -f "$home"/sums?
	[ "$sums" = 1 ] || fail 'the sums differ'
	well 'all twelve are equal'
	echo
}

tell_history()
{
	local aid changes
	chapter 'Who wrote that?'
	tell 'The log by which nodes agree is also the history of every field. The' \
		'account with most changes, with two more by hand:'
	echo
	aid=$(ask 1 'SELECT aid FROM pgbench_history GROUP BY aid ORDER BY count(*) DESC, aid LIMIT 1')
	tell_node 1 "UPDATE pgbench_accounts SET abalance = abalance + 100 WHERE aid = $aid;"
	tell_node 3 "UPDATE pgbench_accounts SET abalance = abalance - 30 WHERE aid = $aid;"
	everywhere
	show 2 "SELECT node, committed_at, operation, old, new, stamp
FROM causaldb.field_history('pgbench_accounts', '{\"aid\": $aid}', 'abalance');"
	tell 'Old and new are what the writer had before it and after it: where two wrote' \
		'at once, both begin at the same value, and what each added counts.'
	echo
	changes=$(ask 2 "SELECT count(*) FROM causaldb.field_history('pgbench_accounts', '{\"aid\": $aid}', 'abalance')")
	[ "$changes" = "$(ask 2 "SELECT count(*) + 2 FROM pgbench_history WHERE aid = $aid")" ] ||
		fail "the history has $changes changes of account $aid"
	well "$changes changes, each with its node and time; node 2 wrote down all of them"
}

# ---------------------------------------------------------------- all of it

# How the servers find each other.
lead_links()
{
	local node other
	for node in $nodes; do
		for other in $nodes; do
			know "$node" "$other" "${ports[$other]}"
		done
	done
	put_proxy 1 3
	put_proxy 3 1
}

tell_story()
{
	meet
	lose_a_ring
	write_at_once
	bank
	tell_history
}
