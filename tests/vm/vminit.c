// SPDX-License-Identifier: GPL-2.0-only
/* vminit - init (PID 1) of the test VM.  Static; loaded from the host's "/"
 * over 9p (read-only).  Mounts what userland needs, runs /run/vm/cmd with
 * bash, leaves the kernel log in /run/vm/dmesg (a rw 9p share: a host
 * directory), reboots (qemu runs with -no-reboot).
 *
 * From the kernel command line (unknown NAME=VALUE words become environment):
 *   VMKEEP=DIR   a host directory to keep visible at the same path even when
 *                a tmpfs is mounted over one of its parents (/tmp, /run ...)
 *   VMTTY=1      run the command on the serial console instead of the
 *                virtio-serial port
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef OPEN_TREE_CLONE
#define OPEN_TREE_CLONE 1
#endif
#ifndef MOVE_MOUNT_F_EMPTY_PATH
#define MOVE_MOUNT_F_EMPTY_PATH 4
#endif

static void m(const char *dev, const char *dir, const char *type, const char *opt)
{
	if (mount(dev, dir, type, 0, opt) && errno != EBUSY && errno != ENODEV && errno != ENOENT)
		fprintf(stderr, "vminit: mount %s on %s: %m\n", type, dir);
}

static void mkdirs(const char *p)
{
	char b[4096];
	snprintf(b, sizeof b, "%s", p);
	for (char *s = b + 1; *s; s++)
		if (*s == '/') {
			*s = 0;
			mkdir(b, 0755);
			*s = '/';
		}
	mkdir(b, 0755);
}

static void put(const char *file, const char *fmt, ...)
{
	va_list ap;
	FILE *f = fopen(file, "w");
	if (!f)
		return;
	va_start(ap, fmt);
	vfprintf(f, fmt, ap);
	va_end(ap);
	fclose(f);
}

static double up(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

int main(void)
{
	static const char *tmp[] = { "/tmp", "/run", "/var/tmp", "/var/log", "/mnt", "/root", 0 };
	const char *keep = getenv("VMKEEP");
	int tree = -1, out = -1, sp = -1, st = 0;
	int rd = !access("/cmd", R_OK);
	const char *cmd = rd ? "/cmd" : "/run/vm/cmd";
	double t0 = up();

	if (keep && *keep)
		tree = syscall(SYS_open_tree, AT_FDCWD, keep, OPEN_TREE_CLONE);
	m("proc", "/proc", "proc", 0);
	m("sysfs", "/sys", "sysfs", 0);
	m("devtmpfs", "/dev", "devtmpfs", 0);
	mkdir("/dev/pts", 0755);
	mkdir("/dev/shm", 01777);
	m("devpts", "/dev/pts", "devpts", 0);
	m("tmpfs", "/dev/shm", "tmpfs", 0);
	for (int i = 0; tmp[i]; i++)
		m("tmpfs", tmp[i], "tmpfs", "mode=1777");
	m("debugfs", "/sys/kernel/debug", "debugfs", 0);
	m("tracefs", "/sys/kernel/tracing", "tracefs", 0);
	m("securityfs", "/sys/kernel/security", "securityfs", 0);
	m("bpf", "/sys/fs/bpf", "bpf", "mode=700");
	m("cgroup2", "/sys/fs/cgroup", "cgroup2", 0);
	m("fusectl", "/sys/fs/fuse/connections", "fusectl", 0);
	mkdirs("/run/vm");
	mkdirs("/run/lock");
	mkdirs("/run/ndctl");
	if (!rd)
		m("vm", "/run/vm", "9p", "trans=virtio,version=9p2000.L,msize=262144,access=any");
	if (tree >= 0) {
		struct stat a, b;
		/* still the same directory (no tmpfs above it)? then leave it */
		if (stat(keep, &b) || fstat(tree, &a) || a.st_ino != b.st_ino) {
			mkdirs(keep);
			if (syscall(SYS_move_mount, tree, "", AT_FDCWD, keep,
				    MOVE_MOUNT_F_EMPTY_PATH))
				fprintf(stderr, "vminit: keep %s: %m\n", keep);
		}
		close(tree);
	}
	symlink("/proc/self/fd", "/dev/fd");
	symlink("/proc/self/fd/0", "/dev/stdin");
	symlink("/proc/self/fd/1", "/dev/stdout");
	symlink("/proc/self/fd/2", "/dev/stderr");
	mknod("/dev/fuse", S_IFCHR | 0666, (10 << 8) | 229);
	put("/proc/sys/kernel/printk", "%d\n", 4);
	sethostname("vm", 2);
	setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
	setenv("HOME", "/root", 1);
	setenv("LC_ALL", "C", 1);
	/* lo up: not needed by most commands, left to them */

	if (!getenv("VMTTY"))
		for (int i = 0; i < 2000 && out < 0; i++) {
			char p[32];
			for (int k = 0; k < 4 && out < 0; k++) {
				snprintf(p, sizeof p, "/dev/vport%dp1", k);
				out = open(p, O_WRONLY | O_CLOEXEC);
				snprintf(p, sizeof p, "/dev/vport%dp2", k);
				if (out >= 0)
					sp = open(p, O_WRONLY | O_CLOEXEC);
			}
			if (out < 0)
				nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, 0);
		}
	put("/run/vm/started", "%.6f %.6f\n", t0, up());
	pid_t pid = fork();
	if (!pid) {
		setsid();
		int in = open("/dev/null", O_RDWR);
		if (getenv("VMTTY")) {
			in = out = open("/dev/ttyS0", O_RDWR);
			ioctl(in, TIOCSCTTY, 0);
		}
		if (out < 0)
			out = 2;
		dup2(in, 0);
		dup2(out, 1);
		dup2(out, 2);
		if (!keep || chdir(keep))
			chdir("/");
		execl("/bin/bash", "bash", cmd, (char *)0);
		_exit(127);
	}
	double t1 = up();
	for (;;) {
		int s;
		pid_t p = wait(&s);
		if (p == pid) {
			st = WIFEXITED(s) ? WEXITSTATUS(s) : 128 + WTERMSIG(s);
			break;
		}
		if (p < 0 && errno == ECHILD)
			break;
	}
	{
		int n = klogctl(10, 0, 0);
		char *b = n > 0 ? malloc(n + 1) : 0;
		if (b && (n = klogctl(3, b, n)) > 0) {
			FILE *f = fopen("/run/vm/dmesg", "w");
			if (f) {
				fwrite(b, 1, n, f);
				fclose(f);
			}
		}
	}
	if (sp >= 0)
		dprintf(sp, "%d\n%.9f %.9f %.9f\n", st, t0, t1, up());
	sync();
	reboot(RB_AUTOBOOT);
	for (;;)
		pause();
}
