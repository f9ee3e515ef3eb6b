// SPDX-License-Identifier: GPL-2.0-only
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rows.h"

static void add_param(struct row *row, const char *text)
{
	size_t len = strlen(row->params);

	snprintf(row->params + len, sizeof(row->params) - len, "%s%s", len ? ", " : "", text);
}

void row_param_u64(struct row *row, const char *name, uint64_t value)
{
	char text[96];

	snprintf(text, sizeof(text), "\"%s\": %" PRIu64, name, value);
	add_param(row, text);
}

void row_param_text(struct row *row, const char *name, const char *value)
{
	char text[96];

	snprintf(text, sizeof(text), "\"%s\": \"%s\"", name, value);
	add_param(row, text);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The value below which a fraction q of the sorted samples is, interpolated. */
static double quantile(const double *sorted, unsigned int n, double q)
{
	double at = q * (n - 1);
	unsigned int i = (unsigned int)at;

	return i + 1 < n ? sorted[i] + (at - i) * (sorted[i + 1] - sorted[i]) : sorted[i];
}

static double *sorted_copy(const double *v, unsigned int n)
{
	double *s = malloc(n * sizeof(*s));

	if (!s)
		abort();
	memcpy(s, v, n * sizeof(*s));
	qsort(s, n, sizeof(*s), compare);
	return s;
}

double samples_median(const double *v, unsigned int n)
{
	double *s = sorted_copy(v, n);
	double m = quantile(s, n, 0.5);

	free(s);
	return m;
}

void row_samples(struct row *row, const double *v, unsigned int n)
{
	double *s = sorted_copy(v, n);

	row->value = quantile(s, n, 0.5);
	row->spread = quantile(s, n, 0.75) - quantile(s, n, 0.25);
	free(s);
}

void row_print(const struct row *row)
{
	printf("{\"variant\": \"%s\", \"load\": \"%s\", \"params\": {%s}, \"metric\": \"%s\", "
	       "\"unit\": \"%s\", \"kind\": \"%s\", \"value\": %.6g, \"n\": %" PRIu64
	       ", \"spread\": %.4g}\n",
	       row->variant, row->load, row->params, row->metric, row->unit, row->kind, row->value,
	       row->n, row->spread);
	fflush(stdout);
}

void bar_print(const char *name, double value, double must, double aim, const char *from)
{
	printf("{\"name\": \"%s\", \"value\": %.6g, \"must\": %g, \"aim\": %g, \"ok\": %s, "
	       "\"from\": \"%s\"}\n",
	       name, value, must, aim, value <= must ? "true" : "false", from);
	fflush(stdout);
}
