/*
 * linkproxy.c
 *		A stretch of network that tests can delay, hold and cut.
 *
 *	linkproxy LISTEN TARGET
 *
 * Listens on LISTEN and leads every connection to TARGET; each is host:port
 * or the path of a Unix socket. Commands come by stdin, one a line, and each
 * is answered by one line "ok ..." or "error ...". The program ends when stdin
 * does, so it never outlives its test.
 *
 *	up|down|both pass			bytes go on as they come
 *	up|down|both delay MS		each byte goes on MS milliseconds after it came
 *	up|down|both hold			bytes are kept, in order, until pass or delay
 *	cut							drops all connections, refuses new ones
 *	resume						everything passes, new connections are welcome
 *	status						counters, as "name=value" pairs
 *
 * Up is the way from the side that connects to TARGET, down the way back.
 *
 * It is not for rates, losses or reordering: what it carries are byte streams
 * that TCP has put in order.
 *
 * Invariants
 * 1. Bytes of one way of one connection leave in the order they came, each
 *	  once; an end of file is the last of them and is held or delayed likewise.
 * 2. At most MAX_KEPT bytes are kept a way and connection; after that the
 *	  proxy stops reading, as a full network would.
 * 3. A command holds from its answer on for bytes not yet passed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define MAX_LINKS 512
#define MAX_KEPT (256 * 1024 * 1024)
#define CHUNK (64 * 1024)
#define MAX_COMMAND 256

enum
{
	UP,
	DOWN,
	WAYS
};

typedef enum Mode
{
	MODE_PASS,
	MODE_DELAY,
	MODE_HOLD
} Mode;

/* bytes that came in one read; len 0 is the end of the stream */
typedef struct Chunk
{
	struct Chunk *next;
	int64_t came; /* ms */
	size_t at;	  /* already sent */
	size_t len;
	char data[];
} Chunk;

typedef struct Way
{
	Chunk *head;
	Chunk *tail;
	size_t kept; /* bytes in the list */
	bool ended;	 /* source said end of file */
	bool shut;	 /* and the other side was told */
} Way;

/* one connection and its continuation; way w reads fd[w], writes fd[!w] */
typedef struct Link
{
	int fd[WAYS];
	bool connecting; /* fd[DOWN] is not there yet */
	bool broken;
	Way way[WAYS];
} Link;

static Link *links[MAX_LINKS];
static int nlinks = 0;
static Mode mode[WAYS] = { MODE_PASS, MODE_PASS };
static int64_t delay[WAYS] = { 0, 0 };
static bool is_cut = false;
static unsigned long accepted = 0;
static uint64_t passed[WAYS] = { 0, 0 };

static struct sockaddr_storage target;
static socklen_t target_len;

static void
die(const char *what)
{
	fprintf(stderr, "linkproxy: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Turns host:port or a path into an address; exits if it is neither. */
static void
parse_address(const char *text, struct sockaddr_storage *addr, socklen_t *len)
{
	const char *colon = strrchr(text, ':');
	struct addrinfo hints = { .ai_family = AF_INET,
							  .ai_socktype = SOCK_STREAM };
	struct addrinfo *found;
	char host[256];
	int error;

	memset(addr, 0, sizeof(*addr));
	if (text[0] == '/')
	{
		struct sockaddr_un *un = (struct sockaddr_un *) addr;

		if (strlen(text) >= sizeof(un->sun_path))
		{
			fprintf(stderr, "linkproxy: path too long: %s\n", text);
			exit(1);
		}
		un->sun_family = AF_UNIX;
		strcpy(un->sun_path, text);
		*len = sizeof(*un);
		return;
	}
	if (colon == NULL || (size_t) (colon - text) >= sizeof(host))
	{
		fprintf(stderr, "linkproxy: not host:port or a path: %s\n", text);
		exit(1);
	}
	memcpy(host, text, colon - text);
	host[colon - text] = '\0';
	error = getaddrinfo(host, colon + 1, &hints, &found);
	if (error != 0)
	{
		fprintf(stderr, "linkproxy: %s: %s\n", text, gai_strerror(error));
		exit(1);
	}
	memcpy(addr, found->ai_addr, found->ai_addrlen);
	*len = found->ai_addrlen;
	freeaddrinfo(found);
}

static int
open_socket(int family)
{
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int one = 1;

	if (fd >= 0 && family == AF_INET)
	{
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	}
	return fd;
}

static int
listen_on(const char *text)
{
	struct sockaddr_storage addr;
	socklen_t len;
	int fd;

	parse_address(text, &addr, &len);
	if (addr.ss_family == AF_UNIX)
		unlink(text);
	fd = open_socket(addr.ss_family);
	if (fd < 0 || bind(fd, (struct sockaddr *) &addr, len) < 0 ||
		listen(fd, 64) < 0)
		die(text);
	return fd;
}

static bool
append(Way *way, const char *data, size_t len, int64_t came)
{
	Chunk *chunk = malloc(sizeof(Chunk) + len);

	if (chunk == NULL)
		return false;
	chunk->next = NULL;
	chunk->came = came;
	chunk->at = 0;
	chunk->len = len;
	memcpy(chunk->data, data, len);
	if (way->tail != NULL)
		way->tail->next = chunk;
	else
		way->head = chunk;
	way->tail = chunk;
	way->kept += len;
	return true;
}

static void
drop_head(Way *way)
{
	Chunk *chunk = way->head;

	way->head = chunk->next;
	if (way->head == NULL)
		way->tail = NULL;
	free(chunk);
}

static void
free_link(Link *link)
{
	int w;

	for (w = 0; w < WAYS; w++)
	{
		while (link->way[w].head != NULL)
			drop_head(&link->way[w]);
		if (link->fd[w] >= 0)
			close(link->fd[w]);
	}
	free(link);
}

static void
accept_one(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	int one = 1;
	Link *link;

	if (fd < 0)
		return;
	if (is_cut || nlinks == MAX_LINKS || (link = calloc(1, sizeof(*link))) == NULL)
	{
		close(fd);
		return;
	}
	if (target.ss_family == AF_INET)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	accepted++;
	link->fd[UP] = fd;
	link->fd[DOWN] = open_socket(target.ss_family);
	if (link->fd[DOWN] < 0)
		link->broken = true;
	else if (connect(link->fd[DOWN], (struct sockaddr *) &target,
					 target_len) < 0)
	{
		if (errno == EINPROGRESS)
			link->connecting = true;
		else
			link->broken = true;
	}
	links[nlinks++] = link;
}

static void
finish_connect(Link *link)
{
	int error = 0;
	socklen_t len = sizeof(error);

	getsockopt(link->fd[DOWN], SOL_SOCKET, SO_ERROR, &error, &len);
	link->connecting = false;
	if (error != 0)
		link->broken = true;
}

/* May this way's head leave now? If only later, *wait_ms says in how long. */
static bool
head_is_due(const Way *way, int w, int64_t now, int64_t *wait_ms)
{
	int64_t left;

	if (way->head == NULL || mode[w] == MODE_HOLD)
		return false;
	if (mode[w] == MODE_PASS)
		return true;
	left = way->head->came + delay[w] - now;
	if (left <= 0)
		return true;
	if (*wait_ms < 0 || left < *wait_ms)
		*wait_ms = left;
	return false;
}

static bool
wants_read(const Link *link, int w)
{
	const Way *way = &link->way[w];

	return !way->ended && way->kept < MAX_KEPT;
}

static void
read_way(Link *link, int w)
{
	static char buffer[CHUNK];
	Way *way = &link->way[w];
	ssize_t n = read(link->fd[w], buffer, sizeof(buffer));

	if (n < 0)
	{
		if (errno != EAGAIN && errno != EINTR)
			link->broken = true;
		return;
	}
	if (n == 0)
		way->ended = true;
	if (!append(way, buffer, (size_t) n, now_ms()))
		link->broken = true;
}

static void
write_way(Link *link, int w)
{
	Way *way = &link->way[w];
	int64_t unused = -1;

	while (!link->broken && head_is_due(way, w, now_ms(), &unused))
	{
		Chunk *chunk = way->head;
		ssize_t n;

		if (chunk->len == 0)
		{
			shutdown(link->fd[!w], SHUT_WR);
			way->shut = true;
			drop_head(way);
			return;
		}
		n = send(link->fd[!w], chunk->data + chunk->at, chunk->len - chunk->at,
				 MSG_NOSIGNAL);
		if (n < 0)
		{
			if (errno != EAGAIN && errno != EINTR)
				link->broken = true;
			return;
		}
		chunk->at += (size_t) n;
		way->kept -= (size_t) n;
		passed[w] += (uint64_t) n;
		if (chunk->at == chunk->len)
			drop_head(way);
	}
}

static void
answer(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
}

static void
answer_status(void)
{
	uint64_t kept[WAYS] = { 0, 0 };
	int i;

	for (i = 0; i < nlinks; i++)
	{
		kept[UP] += links[i]->way[UP].kept;
		kept[DOWN] += links[i]->way[DOWN].kept;
	}
	answer("ok connections=%d accepted=%lu kept_up=%llu kept_down=%llu"
		   " passed_up=%llu passed_down=%llu",
		   nlinks, accepted, (unsigned long long) kept[UP],
		   (unsigned long long) kept[DOWN], (unsigned long long) passed[UP],
		   (unsigned long long) passed[DOWN]);
}

/* Sets one way's mode by the words of a command; false if it has no sense. */
static bool
set_mode(int w, const char *word, const char *ms)
{
	if (strcmp(word, "pass") == 0)
		mode[w] = MODE_PASS;
	else if (strcmp(word, "hold") == 0)
		mode[w] = MODE_HOLD;
	else if (strcmp(word, "delay") == 0 && ms != NULL && atoll(ms) >= 0)
	{
		mode[w] = MODE_DELAY;
		delay[w] = atoll(ms);
	}
	else
		return false;
	return true;
}

static void
obey(char *line)
{
	char *words[4] = { NULL };
	char *save = NULL;
	int n = 0;
	int i;

	for (char *word = strtok_r(line, " \t\r", &save); word != NULL && n < 4;
		 word = strtok_r(NULL, " \t\r", &save))
		words[n++] = word;
	if (n == 0)
		return;
	if (n == 1 && strcmp(words[0], "status") == 0)
		answer_status();
	else if (n == 1 && strcmp(words[0], "cut") == 0)
	{
		is_cut = true;
		for (i = 0; i < nlinks; i++)
			free_link(links[i]);
		nlinks = 0;
		answer("ok");
	}
	else if (n == 1 && strcmp(words[0], "resume") == 0)
	{
		is_cut = false;
		mode[UP] = mode[DOWN] = MODE_PASS;
		answer("ok");
	}
	else if (n >= 2 && strcmp(words[0], "up") == 0 &&
			 set_mode(UP, words[1], words[2]))
		answer("ok");
	else if (n >= 2 && strcmp(words[0], "down") == 0 &&
			 set_mode(DOWN, words[1], words[2]))
		answer("ok");
	else if (n >= 2 && strcmp(words[0], "both") == 0 &&
			 set_mode(UP, words[1], words[2]) &&
			 set_mode(DOWN, words[1], words[2]))
		answer("ok");
	else
		answer("error unknown command");
}

/* Reads what stdin has and obeys every whole line. */
static void
read_commands(void)
{
	static char buffer[MAX_COMMAND];
	static size_t have = 0;
	ssize_t n = read(STDIN_FILENO, buffer + have, sizeof(buffer) - 1 - have);
	char *end;

	if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
		exit(0);
	if (n < 0)
		return;
	have += (size_t) n;
	buffer[have] = '\0';
	while ((end = strchr(buffer, '\n')) != NULL)
	{
		*end = '\0';
		obey(buffer);
		have -= (size_t) (end + 1 - buffer);
		memmove(buffer, end + 1, have + 1);
	}
	if (have == sizeof(buffer) - 1)
	{
		answer("error line too long");
		have = 0;
	}
}

static bool
is_over(const Link *link)
{
	return link->broken || (link->way[UP].shut && link->way[DOWN].shut);
}

static void
sweep_links(void)
{
	int i = 0;

	while (i < nlinks)
	{
		if (is_over(links[i]))
		{
			free_link(links[i]);
			links[i] = links[--nlinks];
		}
		else
			i++;
	}
}

/* Fills the poll entries of one link; returns how long its heads still wait. */
static void
prepare(const Link *link, struct pollfd *fds, int64_t now, int64_t *wait_ms)
{
	int w;

	for (w = 0; w < WAYS; w++)
	{
		fds[w].fd = link->fd[w];
		fds[w].events = 0;
		fds[w].revents = 0;
		/* after its end a stream only reports hangup, again and again */
		if (link->way[w].ended && link->way[!w].head == NULL)
			fds[w].fd = -1;
	}
	if (link->connecting)
	{
		fds[DOWN].events = POLLOUT;
		return;
	}
	for (w = 0; w < WAYS; w++)
	{
		if (wants_read(link, w))
			fds[w].events |= POLLIN;
		if (head_is_due(&link->way[w], w, now, wait_ms))
			fds[!w].events |= POLLOUT;
	}
	for (w = 0; w < WAYS; w++)
		if (fds[w].events == 0)
			fds[w].fd = -1;
}

static void
serve(Link *link, const struct pollfd *fds)
{
	int w;

	if (link->connecting)
	{
		if (fds[DOWN].revents != 0)
			finish_connect(link);
		return;
	}
	for (w = 0; w < WAYS && !link->broken; w++)
	{
		if ((fds[w].revents & (POLLIN | POLLHUP | POLLERR)) != 0 &&
			wants_read(link, w))
			read_way(link, w);
	}
	for (w = 0; w < WAYS && !link->broken; w++)
		write_way(link, w);
}

int
main(int argc, char **argv)
{
	static struct pollfd fds[2 + 2 * MAX_LINKS];
	int listener;

	if (argc != 3)
	{
		fprintf(stderr, "usage: linkproxy LISTEN TARGET\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	parse_address(argv[2], &target, &target_len);
	listener = listen_on(argv[1]);
	answer("ok ready");

	for (;;)
	{
		int64_t wait_ms = -1;
		int64_t now = now_ms();
		int served = nlinks;
		int i;

		fds[0] = (struct pollfd) { .fd = STDIN_FILENO, .events = POLLIN };
		fds[1] = (struct pollfd) { .fd = listener, .events = POLLIN };
		for (i = 0; i < served; i++)
			prepare(links[i], &fds[2 + 2 * i], now, &wait_ms);
		if (poll(fds, 2 + 2 * (nfds_t) served,
				 wait_ms > 60000 ? 60000 : (int) wait_ms) < 0 &&
			errno != EINTR)
			die("poll");
		for (i = 0; i < served; i++)
			serve(links[i], &fds[2 + 2 * i]);
		if (fds[1].revents != 0)
			accept_one(listener);
		sweep_links();
		if (fds[0].revents != 0)
			read_commands();
	}
}
