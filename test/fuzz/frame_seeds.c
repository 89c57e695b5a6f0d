/*
 * frame_seeds.c
 *		Writes the first inputs of the fuzzer: small valid frames of each type.
 *
 *		frame_seeds FOLDER
 */
#include "gen.h"

#include <stdio.h>
#include <stdlib.h>

#define SEEDS_OF_A_TYPE 6
/* a fuzzer works best on small inputs */
#define MAX_SEED 400

static void
save(const char *folder, RepFrameType type, int number, const RepWriter *w)
{
	static const char *const names[] = { "", "hello", "interval", "chunks",
										 "answer" };
	char path[1000];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s-%d", folder, names[type], number);
	f = fopen(path, "wb");
	if (f == NULL || fwrite(w->data, 1, w->len, f) != w->len || fclose(f) != 0)
	{
		perror(path);
		exit(1);
	}
}

int
main(int argc, char **argv)
{
	static uint8_t room[GEN_FRAME_ROOM];
	UnitRng rng = { 1 };

	if (argc != 2)
	{
		fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
		return 2;
	}
	for (int type = REP_FRAME_HELLO; type <= REP_FRAME_ANSWER; type++)
		for (int number = 1; number <= SEEDS_OF_A_TYPE;)
		{
			RepWriter w;

			rep_writer_init(&w, room, sizeof(room));
			gen_frame(&rng, (RepFrameType) type, &w);
			if (w.full || w.len > MAX_SEED)
				continue;
			save(argv[1], (RepFrameType) type, number++, &w);
		}
	return 0;
}
