/*
 * receive.h
 *		The two functions that peers call: hello and receive.
 */
#ifndef CAUSALDB_RECEIVE_H
#define CAUSALDB_RECEIVE_H

#include "shmem.h"
#include "vector.h"
#include "wire.h"

/* The HELLO this node says of itself, its applied vector in *v. */
extern void receive_hello_of(NodeShared *node, RepHello *hello);

#endif
