/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Rows and bars of the results, one JSON object per line, as tests/perf's schema has them.
 * Numbers and the names in this directory need no escaping.
 */
#ifndef FAMFS_PERF_ROWS_H
#define FAMFS_PERF_ROWS_H

#include <stdint.h>

#define ROW_PARAMS_MAX	512

struct row {
	const char *variant;
	const char *load;
	const char *metric;
	const char *unit;
	const char *kind;	/* exact, native, hardware */
	uint64_t n;		/* operations behind the value */
	double value;
	double spread;
	char params[ROW_PARAMS_MAX];
};

void row_param_u64(struct row *row, const char *name, uint64_t value);
void row_param_text(struct row *row, const char *name, const char *value);

/** row_samples() - median and interquartile range */
void row_samples(struct row *row, const double *v, unsigned int n);
void row_print(const struct row *row);

double samples_median(const double *v, unsigned int n);

/** bar_print() - met if the value is at most @must; @from: which of the rows gave it */
void bar_print(const char *name, double value, double must, double aim, const char *from);

#endif /* FAMFS_PERF_ROWS_H */
