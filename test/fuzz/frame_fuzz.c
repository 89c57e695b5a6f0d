/*
 * frame_fuzz.c
 *		libFuzzer's way into the decoders of frames, descriptors and payloads.
 *
 * The input is a frame; magic, version, length and checksum are made right
 * first, else nearly all inputs would end there. The frame is then walked as
 * the unit tests do: decoded to the last value and encoded again. Nothing may
 * be read outside the input (which ends at a red zone), and what is accepted
 * must encode to the same bytes.
 */
#include "walk.h"

#include <stdlib.h>
#include <string.h>

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *frame;
	RepFrameType type;
	RepReader body;

	if (rep_frame_error(rep_frame_open(data, size, &type, &body)) == NULL)
		abort();
	if (walk_frame(data, size) == WALK_UNFAITHFUL)
		abort();
	if (size < REP_FRAME_HEADER)
		return 0;
	frame = malloc(size);
	if (frame == NULL)
		return 0;
	memcpy(frame, data, size);
	/* a valid type stays as it is */
	frame[3] = (uint8_t) (REP_FRAME_HELLO +
						  (frame[3] - REP_FRAME_HELLO) % REP_FRAME_ANSWER);
	walk_fix_header(frame, size);
	if (walk_frame(frame, size) == WALK_UNFAITHFUL)
		abort();
	free(frame);
	return 0;
}
