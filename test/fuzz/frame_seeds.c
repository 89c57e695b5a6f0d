/*
 * frame_seeds.c
 *		Writes the first inputs of the fuzzer: valid frames of each type, and
 *		one for each way in which a frame's header can be wrong.
 *
 *		frame_seeds FOLDER
 */
#include "gen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEEDS_OF_A_TYPE 12
/* a fuzzer works best on small inputs */
#define MAX_SEED 600

static void
save(const char *folder, const char *name, int number, const void *data,
	 size_t len)
{
	char path[1000];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s-%d", folder, name, number);
	f = fopen(path, "wb");
	if (f == NULL || fwrite(data, 1, len, f) != len || fclose(f) != 0)
	{
		perror(path);
		exit(1);
	}
}

/* A sound frame that says another type than there is. */
static void
save_type(const char *folder)
{
	uint8_t room[REP_FRAME_HEADER];
	RepWriter w;

	rep_writer_init(&w, room, sizeof(room));
	rep_frame_begin(&w);
	rep_frame_end(&w, (RepFrameType) 9);
	save(folder, "header-type", 1, room, w.len);
}

static void
save_headers(const char *folder, const RepWriter *sound)
{
	/* offset and value of a byte that makes each header wrong */
	static const struct
	{
		const char *name;
		size_t at;
		uint8_t value;
	} wrong[] = { { "header-magic", 0, '?' },
				  { "header-version", 2, 9 },
				  { "header-length", 4, 255 },
				  { "header-short", 7, 0 },
				  { "header-checksum", 8, '?' } };
	uint8_t room[MAX_SEED];

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
	{
		memcpy(room, sound->data, sound->len);
		room[wrong[i].at] ^= wrong[i].value;
		save(folder, wrong[i].name, 1, room, sound->len);
	}
	save(folder, "header-cut", 1, sound->data, 7);
	save_type(folder);
}

int
main(int argc, char **argv)
{
	static const char *const names[] = { "", "hello", "interval", "chunks",
										 "answer" };
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
			if (type == REP_FRAME_HELLO && number == 1)
				save_headers(argv[1], &w);
			save(argv[1], names[type], number++, w.data, w.len);
		}
	return 0;
}
