/*
 * render.h
 *		Values of changes as text and JSON, for people.
 */
#ifndef CAUSALDB_RENDER_H
#define CAUSALDB_RENDER_H

#include "catalog.h"

/*
 * How to read changes written under the descriptor, whether its table is here
 * or not: fills the descriptor, codecs and keys of *out. A type that is gone
 * is read as its bytes. Memory of CurrentMemoryContext; the descriptor's views
 * are borrowed.
 */
extern void render_reader(const RepDescriptor *d, CatalogApply *out);
/* The value as its type shows it, or NULL for NULL. Palloc'd. */
extern char *render_value(CatalogApply *a, int column, const RepValue *v);
/* Appends the value as JSON: numbers and booleans bare, the rest quoted. */
extern void render_json_value(CatalogApply *a, int column, const RepValue *v, StringInfo out);
/*
 * {"column": value, ...} of the change's key, or of its columns after or
 * before it; NULL if there are none (append-only tables have no key).
 */
extern char *render_key(CatalogApply *a, const RepChange *c);
extern char *render_after(CatalogApply *a, const RepChange *c);
extern char *render_before(CatalogApply *a, const RepChange *c);

#endif
