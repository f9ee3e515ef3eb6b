// SPDX-License-Identifier: GPL-2.0-only
/*
 * Life of a session: libfuse set up with our hooks, threads that read requests,
 * adoption, notifications, the end. Mounts are made in session_mount.c.
 *
 * Threads are our own instead of fuse_session_loop_mt(): their number is fixed,
 * and nothing is cancelled in the middle of a handler.
 */
#include "session_i.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SESSION_THREADS_DEFAULT	4
/* Interrupts a read that nothing else would; its handler does nothing. */
#define SESSION_KICK_SIGNAL	SIGURG
/* A kick that comes just before the read is lost, so it is repeated. */
#define SESSION_KICK_NS		10000000L

void session_say(struct session_msg *msg, const char *fmt, ...)
{
	va_list ap;

	if (!msg)
		return;
	va_start(ap, fmt);
	vsnprintf(msg->text, sizeof(msg->text), fmt, ap);
	va_end(ap);
}

void session_set_init(struct session *s, enum session_init_state state, int err,
		      const struct session_msg *msg)
{
	pthread_mutex_lock(&s->lock);
	s->init_state = state;
	s->init_err = err;
	if (msg)
		s->init_msg = *msg;
	pthread_cond_broadcast(&s->cond);
	pthread_mutex_unlock(&s->lock);
}

/*
 * Locks stay in the kernel (one mount per host, and they survive us). Attributes
 * never change behind the kernel's back. ATOMIC_O_TRUNC would let open(O_TRUNC)
 * succeed without anybody being asked when OPEN is answered ENOSYS.
 */
static void session_op_init(void *userdata, struct fuse_conn_info *conn)
{
	struct session *s = userdata;

	if (s->op_init)
		s->op_init(s->config.userdata, conn);

	conn->want &=
		~(FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_AUTO_INVAL_DATA |
		  FUSE_CAP_POSIX_LOCKS | FUSE_CAP_FLOCK_LOCKS | FUSE_CAP_HANDLE_KILLPRIV |
		  FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
	conn->want |= conn->capable &
		      (FUSE_CAP_EXPLICIT_INVAL_DATA | FUSE_CAP_CACHE_SYMLINKS |
		       FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO);
}

void *session_userdata(fuse_req_t req)
{
	const struct session *s = fuse_req_userdata(req);

	return s->config.userdata;
}

static void session_kicked(int sig)
{
	(void)sig;
}

static int session_catch_kick(void)
{
	struct sigaction sa = { .sa_handler = session_kicked };

	return sigaction(SESSION_KICK_SIGNAL, &sa, NULL) ? -errno : 0;
}

static int session_check_adopt(const struct session_init *x, struct session_msg *msg)
{
	if (x->request_len >= sizeof(struct fuse_in_header) + sizeof(struct fuse_init_in) &&
	    x->request_len <= SESSION_INIT_MAX &&
	    x->reply_len == sizeof(struct fuse_out_header) + SESSION_INIT_OUT_LEN)
		return 0;

	session_say(msg, "cannot adopt: the stored INIT exchange is %u and %u bytes long",
		    x->request_len, x->reply_len);
	return -EINVAL;
}

int session_new(const struct session_config *config, int fuse_fd, struct session **ret_session,
		struct session_msg *msg)
{
	static const struct fuse_custom_io io = {
		.writev = session_hook_writev,
		.read = session_hook_read,
	};
	char *argv[] = { (char *)(config->name ? config->name : "session"), "-d", NULL };
	struct fuse_args args = FUSE_ARGS_INIT(config->debug ? 2 : 1, argv);
	struct session *s;
	int err;

	if (config->threads > SESSION_THREADS_MAX || (config->methods & ~0xffffU) || !config->ops)
		return -EINVAL;
	if (config->adopt) {
		err = session_check_adopt(config->adopt, msg);
		if (err)
			return err;
	}

	s = calloc(1, sizeof(*s));
	if (!s) {
		session_say(msg, "out of memory");
		return -ENOMEM;
	}
	pthread_mutex_init(&s->lock, NULL);
	pthread_mutex_init(&s->held_lock, NULL);
	pthread_cond_init(&s->cond, NULL);
	s->config = *config;
	s->config.adopt = NULL;
	s->config.ops = NULL;
	s->op_init = config->ops->init;
	s->nr_threads = config->threads ? config->threads : SESSION_THREADS_DEFAULT;
	s->ops = *config->ops;
	s->ops.init = session_op_init;
	if (config->adopt) {
		s->exchange = *config->adopt;
		s->init_state = SESSION_INIT_REPLAY;
	}

	s->fuse = fuse_session_new(&args, &s->ops, sizeof(s->ops), s);
	fuse_opt_free_args(&args);
	err = s->fuse ? 0 : -ENOMEM;
	if (!err) {
		s->fd = fcntl(fuse_fd, F_DUPFD_CLOEXEC, 3);
		err = s->fd < 0 ? -errno : fuse_session_custom_io(s->fuse, &io, s->fd);
	}
	if (err) {
		session_say(msg, "libfuse cannot make a session: %s", strerror(-err));
		session_free(s);
		return err;
	}
	*ret_session = s;
	return 0;
}

static void session_thread_ended(struct session *s, int result)
{
	pthread_mutex_lock(&s->lock);
	if (result && !s->result)
		s->result = result;
	s->live--;
	if (!s->live && s->init_state == SESSION_INIT_NONE)
		s->init_state = SESSION_INIT_ENDED;
	pthread_cond_broadcast(&s->cond);
	pthread_mutex_unlock(&s->lock);
}

static void *session_thread(void *arg)
{
	struct session *s = arg;
	struct fuse_buf buf = { 0 };
	int n = 0;

	if (s->config.thread_start)
		s->config.thread_start(s->config.userdata);
	while (!atomic_load(&s->stop) && !atomic_load(&s->over)) {
		n = fuse_session_receive_buf(s->fuse, &buf);
		if (n == -EINTR || n == -EAGAIN)
			continue;
		if (n <= 0)
			break;
		fuse_session_process_buf(s->fuse, &buf);
	}
	free(buf.mem);
	session_thread_ended(s, n < 0 && n != -EINTR && n != -EAGAIN ? n : 0);
	return NULL;
}

/* libfuse gets the stored INIT; its reply ends in session_compare_init(). */
static int session_replay_init(struct session *s, struct session_msg *msg)
{
	struct fuse_buf buf = { 0 };
	int n;

	n = fuse_session_receive_buf(s->fuse, &buf);
	if (n > 0)
		fuse_session_process_buf(s->fuse, &buf);
	free(buf.mem);

	if (s->init_state == SESSION_INIT_DONE)
		return 0;
	if (msg && s->init_msg.text[0])
		*msg = s->init_msg;
	else
		session_say(msg, "libfuse does not accept the stored INIT");
	return s->init_err ? s->init_err : -EPROTO;
}

static int session_notify(struct session *s, int32_t code)
{
	struct fuse_out_header out = { .len = sizeof(out), .error = code };

	return write(s->fd, &out, sizeof(out)) < 0 ? -errno : 0;
}

/* What the predecessor read and did not answer would never be answered. */
static int session_resend(struct session *s, struct session_msg *msg)
{
	int err = session_notify(s, SESSION_NOTIFY_RESEND);

	/* The connection ended while nobody served it: reading will say so. */
	if (!err || err == -ENODEV || err == -ENOTCONN)
		return 0;
	session_say(msg, "cannot have unanswered requests sent again: %s%s", strerror(-err),
		    err == -EINVAL ? "; a restart needs Linux 6.9" : "");
	return err;
}

static int session_start_threads(struct session *s, struct session_msg *msg)
{
	sigset_t all, old;
	unsigned int i;
	int err = 0;

	/* Signals are for the threads of the program that calls us. */
	sigfillset(&all);
	sigdelset(&all, SESSION_KICK_SIGNAL);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGSEGV);
	pthread_sigmask(SIG_SETMASK, &all, &old);

	pthread_mutex_lock(&s->lock);
	for (i = 0; i < s->nr_threads; i++) {
		err = pthread_create(&s->thread[i], NULL, session_thread, s);
		if (err)
			break;
		s->live++;
	}
	s->nr_threads = i;
	pthread_mutex_unlock(&s->lock);
	pthread_sigmask(SIG_SETMASK, &old, NULL);

	if (err)
		session_say(msg, "cannot start a thread: %s", strerror(err));
	return -err;
}

int session_start(struct session *s, struct session_msg *msg)
{
	int err;

	err = session_catch_kick();
	if (err)
		return err;
	if (s->init_state == SESSION_INIT_REPLAY) {
		err = session_replay_init(s, msg);
		if (err) {
			s->nr_threads = 0;
			return err;
		}
		err = session_resend(s, msg);
		if (err) {
			s->nr_threads = 0;
			return err;
		}
	}
	return session_start_threads(s, msg);
}

/* What became of INIT. Under the lock. */
static int session_init_result(struct session *s, struct session_msg *msg)
{
	switch (s->init_state) {
	case SESSION_INIT_DONE:
		return 0;
	case SESSION_INIT_REFUSED:
		if (msg)
			*msg = s->init_msg;
		return s->init_err;
	default:
		session_say(msg, "the connection ended before it began");
		return -ENODEV;
	}
}

static void session_in(unsigned int ms, struct timespec *ret)
{
	clock_gettime(CLOCK_REALTIME, ret);
	ret->tv_sec += ms / 1000;
	ret->tv_nsec += (long)(ms % 1000) * 1000000L;
	if (ret->tv_nsec >= 1000000000L) {
		ret->tv_sec++;
		ret->tv_nsec -= 1000000000L;
	}
}

int session_wait_init(struct session *s, struct session_msg *msg)
{
	int err;

	pthread_mutex_lock(&s->lock);
	while (s->init_state == SESSION_INIT_NONE && s->live)
		pthread_cond_wait(&s->cond, &s->lock);
	err = session_init_result(s, msg);
	pthread_mutex_unlock(&s->lock);
	return err;
}

int session_try_init(struct session *s, unsigned int timeout_ms, struct session_msg *msg)
{
	struct timespec ts;
	int err = 0;

	session_in(timeout_ms, &ts);
	pthread_mutex_lock(&s->lock);
	while (!err && s->init_state == SESSION_INIT_NONE && s->live)
		err = -pthread_cond_timedwait(&s->cond, &s->lock, &ts);
	if (s->init_state != SESSION_INIT_NONE || !s->live)
		err = session_init_result(s, msg);
	pthread_mutex_unlock(&s->lock);
	return err;
}

void session_hold(struct session *s)
{
	atomic_store(&s->hold, true);
}

void session_release(struct session *s)
{
	struct timespec pause = { .tv_nsec = SESSION_KICK_NS };

	atomic_store(&s->hold, false);
	/* Threads that wait in read() must look at what was kept back. */
	while (atomic_load(&s->held_count) && !atomic_load(&s->over)) {
		pthread_mutex_lock(&s->lock);
		for (unsigned int i = 0; i < s->nr_threads; i++)
			pthread_kill(s->thread[i], SESSION_KICK_SIGNAL);
		pthread_mutex_unlock(&s->lock);
		nanosleep(&pause, NULL);
	}
}

const struct session_init *session_init_exchange(const struct session *s)
{
	return &s->exchange;
}

int session_inval_inode(struct session *s, uint64_t nodeid)
{
	return fuse_lowlevel_notify_inval_inode(s->fuse, nodeid, 0, 0);
}

int session_inc_epoch(struct session *s)
{
	return session_notify(s, SESSION_NOTIFY_INC_EPOCH);
}

int session_wait(struct session *s)
{
	/* session_stop() may be called meanwhile, also from a thread that is joined */
	pthread_mutex_lock(&s->lock);
	while (s->live) {
		struct timespec ts;

		if (!atomic_load(&s->stop) && !atomic_load(&s->over)) {
			pthread_cond_wait(&s->cond, &s->lock);
			continue;
		}
		/* Threads that returned stay joinable, so that the kick is harmless. */
		for (unsigned int i = 0; i < s->nr_threads; i++)
			pthread_kill(s->thread[i], SESSION_KICK_SIGNAL);
		session_in(SESSION_KICK_NS / 1000000, &ts);
		pthread_cond_timedwait(&s->cond, &s->lock, &ts);
	}
	pthread_mutex_unlock(&s->lock);

	for (unsigned int i = 0; i < s->nr_threads; i++)
		pthread_join(s->thread[i], NULL);
	s->nr_threads = 0;
	return s->result;
}

bool session_is_over(const struct session *s)
{
	return atomic_load(&s->over);
}

void session_stop(struct session *s)
{
	atomic_store(&s->stop, true);
	pthread_mutex_lock(&s->lock);
	pthread_cond_broadcast(&s->cond);
	pthread_mutex_unlock(&s->lock);
}

void session_free(struct session *s)
{
	if (!s)
		return;
	if (s->fuse)
		fuse_session_destroy(s->fuse);
	while (s->held_first) {
		struct session_held *h = s->held_first;

		s->held_first = h->next;
		free(h);
	}
	pthread_cond_destroy(&s->cond);
	pthread_mutex_destroy(&s->lock);
	pthread_mutex_destroy(&s->held_lock);
	free(s);
}

void session_stats(const struct session *s, struct session_stats *ret)
{
	ret->requests = atomic_load(&s->requests);
	ret->begins = atomic_load(&s->begins);
	ret->dev_events = atomic_load(&s->dev_events);
	for (int i = 0; i < SESSION_OPCODES; i++)
		ret->opcode[i] = atomic_load(&s->opcode[i]);
}
