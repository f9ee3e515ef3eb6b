// SPDX-License-Identifier: GPL-2.0-only
/*
 * kv: a real key-value store, LMDB, on a read-only database that is mapped from the file
 * under test. kv-fill makes the database anywhere; copy it to the mount; kv opens it anew
 * for each pass and looks up keys at random: one sample a lookup.
 */
#include "bench.h"

#include <errno.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KV_VALUE_BYTES	1000

struct kv {
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;
};

static void kv_check(int err, const char *what)
{
	if (err)
		fail("%s: LMDB, %s: %s", opts.file, what, mdb_strerror(err));
}

static void kv_open(struct kv *kv, unsigned int flags)
{
	kv_check(mdb_env_create(&kv->env), "create");
	if (opts.bytes)
		kv_check(mdb_env_set_mapsize(kv->env, opts.bytes), "size");
	kv_check(mdb_env_open(kv->env, opts.file, MDB_NOSUBDIR | MDB_NOLOCK | flags, 0644), "open");
	kv_check(mdb_txn_begin(kv->env, NULL, flags & MDB_RDONLY, &kv->txn), "begin");
	kv_check(mdb_dbi_open(kv->txn, NULL, 0, &kv->dbi), "open database");
}

#define KV_KEY_BYTES	15

static void kv_key(uint64_t i, char key[KV_KEY_BYTES + 1])
{
	snprintf(key, KV_KEY_BYTES + 1, "key%012u", (uint32_t)i);
}

void load_kv_fill(void)
{
	char key[KV_KEY_BYTES + 1], value[KV_VALUE_BYTES];
	struct kv kv;

	if (!opts.file || !opts.bytes)
		fail("kv-fill needs --file and --bytes");
	kv_open(&kv, MDB_NOSYNC);
	memset(value, 'v', sizeof(value));
	for (uint64_t i = 0; i < opts.count; i++) {
		MDB_val k = { KV_KEY_BYTES, key }, v = { sizeof(value), value };

		kv_key(i, key);
		kv_check(mdb_put(kv.txn, kv.dbi, &k, &v, MDB_APPEND), "put");
	}
	kv_check(mdb_txn_commit(kv.txn), "commit");
	kv_check(mdb_env_sync(kv.env, 1), "sync");
	mdb_env_close(kv.env);
}

void load_kv(void)
{
	size_t n = opts.draws ? opts.draws : opts.count;
	uint32_t *draws = rng_draws(opts.seed, opts.count, n,
				    opts.dist == DIST_ALL ? DIST_UNIFORM : opts.dist);
	volatile char seen;
	struct samples s;
	struct kv kv;

	if (!opts.file)
		fail("kv needs --file");
	if (!draws || samples_alloc(&s, n))
		fail("out of memory");
	for (unsigned int pass = 0; pass < opts.passes; pass++) {
		struct json_object *params = params_new();
		struct pass counted;

		json_object_object_add(params, "keys", json_object_new_int64((int64_t)opts.count));
		json_object_object_add(params, "pass",
				       json_object_new_string(pass ? "warm" : "cold"));
		kv_open(&kv, MDB_RDONLY);
		s.n = 0;
		pass_begin(&counted);
		for (size_t i = 0; i < n; i++) {
			char key[KV_KEY_BYTES + 1];
			MDB_val k = { KV_KEY_BYTES, key }, v;
			uint64_t a;
			int err;

			kv_key(draws[i], key);
			a = now();
			err = mdb_get(kv.txn, kv.dbi, &k, &v);
			if (!err)
				seen = *(char *)v.mv_data;
			samples_add(&s, now() - a);
			kv_check(err, "get");
		}
		pass_end(&counted);
		(void)seen;
		mdb_txn_abort(kv.txn);
		mdb_env_close(kv.env);
		row_samples("get", params, &s);
		pass_rows(&counted, params, n);
	}
	samples_free(&s);
	free(draws);
}
