#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# boot.sh [options] -- COMMAND...
#
# Boot a kernel under QEMU TCG with the host's "/" as a read-only 9p root and
# run COMMAND (a bash command line) inside as root.  Exit status: the
# command's; 124 = hard timeout; 125 = the VM ended without a status (panic).
# The command's output goes to stdout; the kernel log to WORK/console.log.
#
#   -k DIR|FILE    kernel build directory (uses vmlinux.pvh) or an image
#   -i FILE        the static init (vminit)
#   -w DIR         work directory (rw inside at /run/vm); default: a temporary one
#   -m MEM         RAM (default 1G)          -c N    CPUs (default 1)
#   -p SIZE[:FILE[:LABEL]]  an emulated NVDIMM, repeatable.  FILE: backing file,
#                  created sparse when missing (share it between runs to keep
#                  the contents; without FILE it lives in WORK).  LABEL: label
#                  area size (for example 256K); without it a label-less
#                  namespace: /dev/pmemN at once.
#   -a WORDS       more kernel command line, repeatable
#   -Q WORDS       more qemu options, repeatable
#   -I             -icount shift=0,sleep=off: 1 guest ns = 1 instruction
#   -M MACH        machine (default q35)
#   -C CPU         default max,la57=off,erms=off,fsrm=off: TCG runs "rep stosb", which these
#                  stand for, a byte at a time (a page cleared: 7 us; by stores 0.2)
#   -t SEC         hard timeout (default 120)
#   -R RD.cpio     initramfs root (mkrd.sh) instead of 9p: nothing the guest does
#                  depends on host timing.  Needed for exact -I runs: with a 9p
#                  root the guest idles on the host and the clock jumps.
#   -T             interactive: serial console on this terminal
#   -v             print the times at the end (stderr)
# VM_ACCEL in the environment: instead of tcg, such as tcg,thread=single
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
K=${VM_KERNEL:-}; INIT=${VM_INIT:-}; W=; MEM=1G; SMP=1; APPEND=; T=120; ICOUNT=; TTY=; V=; RD=
MACH=q35; CPU=max,la57=off,erms=off,fsrm=off; PM=(); QX=()
while getopts k:i:w:m:c:p:a:Q:IM:C:t:TvR: o; do case $o in
    k) K=$OPTARG;; i) INIT=$OPTARG;; w) W=$OPTARG;; m) MEM=$OPTARG;; c) SMP=$OPTARG;;
    p) PM+=("$OPTARG");; a) APPEND+=" $OPTARG";; Q) read -r -a words <<< "$OPTARG"; QX+=("${words[@]}");; I) ICOUNT=1;;
    R) RD=$OPTARG;; M) MACH=$OPTARG;; C) CPU=$OPTARG;; t) T=$OPTARG;; T) TTY=1;; v) V=1;; *) exit 2;;
esac; done; shift $((OPTIND-1))
[ -d "$K" ] && K=$K/vmlinux.pvh
[ -f "$K" ] || { echo "boot.sh: no kernel (-k)" >&2; exit 2; }
INIT=$(realpath "${INIT:-$HERE/vminit}")
[ -x "$INIT" ] || { echo "boot.sh: no init $INIT (gcc -O2 -static -o vminit vminit.c)" >&2; exit 2; }
TMPW=; [ -n "$W" ] || { W=$(mktemp -d); TMPW=$W; }
mkdir -p "$W"; W=$(cd "$W" && pwd); rm -f "$W"/{status,started,uptime,dmesg,stdin,console.log}
trap '[ -z "$TMPW" ] || rm -rf "$TMPW"' EXIT
printf '%s\n' "$*" > "$W/cmd"

bytes() { numfmt --from=iec "$1"; }
ARGS=(-nodefaults -no-user-config -display none -vga none -no-reboot
      -accel "${VM_ACCEL:-tcg}" -cpu "$CPU" -smp "$SMP" -kernel "$K"
)
if [ -n "$RD" ]; then       # base cpio + one with this run's command and the init
    mkdir -p "$W/rd"; cp "$W/cmd" "$W/rd/cmd"; cp "$INIT" "$W/rd/init"
    (cat "$RD"; cd "$W/rd"; printf 'cmd\ninit\n' | cpio -o -H newc -R 0:0 --reproducible --quiet) > "$W/rd.cpio"
    ARGS+=(-initrd "$W/rd.cpio")
else
    ARGS+=(-virtfs "local,path=/,mount_tag=root,security_model=none,readonly=on,multidevs=remap"
           -virtfs "local,path=$W,mount_tag=vm,security_model=none,multidevs=remap")
fi
# -I: the date and what RDRAND says are the guest's, too: times are stored, and tables are salted
[ -z "$ICOUNT" ] || { ARGS+=(-icount 'shift=0,sleep=off' -rtc 'base=2026-01-01,clock=vm' -seed 1); [ "$SMP" = 1 ] || { echo "boot.sh: -I wants -c 1" >&2; exit 2; }; }
max=$(bytes "$MEM"); n=0; NV=()
for p in ${PM[@]+"${PM[@]}"}; do
    IFS=: read -r sz file label <<< "$p"
    b=$(bytes "$sz"); file=${file:-$W/pmem$n}
    [ -e "$file" ] || truncate -s "$b" "$file"
    NV+=(-object "memory-backend-file,id=mem$n,share=on,mem-path=$file,size=$b"
         -device "nvdimm,id=nv$n,memdev=mem$n${label:+,label-size=$label}")
    max=$((max + (b + (1<<30) - 1) / (1<<30) * (1<<30) + (1<<30))); n=$((n+1))
done
if [ $n -gt 0 ]; then
    ARGS+=(-machine "$MACH,nvdimm=on" -m "$MEM,slots=$((n+1)),maxmem=$((max/1048576))M" "${NV[@]}")
else ARGS+=(-machine "$MACH" -m "$MEM"); fi
CMDL=
[ -n "$RD" ] || CMDL="root=root rootfstype=9p rootflags=trans=virtio,version=9p2000.L,cache=loose,msize=262144 ro init=$INIT VMKEEP=$PWD"
CMDL+=" panic=-1 reboot=t tsc=reliable no_timer_check net.ifnames=0"
# The host may have other things to do for longer than a CPU is expected to need: whatever
# hangs is found when the test has had its time
CMDL+=" nosoftlockup rcupdate.rcu_cpu_stall_timeout=300"
# -I: calibrating the local APIC timer costs 12 s of wall time under icount; and
# say what the TSC is, so that clock_gettime() and rdtsc agree exactly
[ -z "$ICOUNT" ] || CMDL+=" noapictimer tsc_early_khz=1000000"
if [ -n "$TTY" ]; then
    CMDL+=" console=ttyS0 VMTTY=1 loglevel=4"
    exec 3<&0; ARGS+=(-serial mon:stdio)
else
    CMDL+=" console=ttyS0 loglevel=${VM_LOGLEVEL:-4}"
    mkfifo "$W/stdin"; exec 3<>"$W/stdin"     # never EOF: EOF would close the port
    ARGS+=(-serial "file:$W/console.log" -monitor none -chardev "stdio,id=out,signal=off"
           -device "virtio-serial-pci,ioeventfd=off" -device "virtserialport,chardev=out,name=out,nr=1"
           -chardev "file,id=st,path=$W/status" -device "virtserialport,chardev=st,name=status,nr=2")
fi
t0=$(date +%s.%N)
rc=0; timeout --foreground -k 5 "$T" qemu-system-x86_64 "${ARGS[@]}" ${QX[@]+"${QX[@]}"} \
    -append "$CMDL$APPEND" <&3 || rc=$?
t1=$(date +%s.%N)
if [ -n "$V" ]; then
    s=$(stat -c %.9Y "$W/started" 2>/dev/null || echo "$t1")
    printf 'boot.sh: command started after %.2f s, VM ended after %.2f s; guest clock (init, start, end): %s\n' \
        "$(bc <<< "$s - $t0")" "$(bc <<< "$t1 - $t0")" "$(sed -n 2p "$W/status")" >&2
fi
if [ -s "$W/status" ]; then exit "$(head -1 "$W/status")"; fi
if [ $rc = 124 ] || [ $rc = 137 ]; then echo "boot.sh: hard timeout after $T s" >&2; exit 124; fi
echo "boot.sh: the VM ended without a status (qemu $rc); console:" >&2
tail -20 "$W/console.log" >&2 2>/dev/null || true
exit 125
