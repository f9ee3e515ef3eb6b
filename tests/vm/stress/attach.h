/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef STRESS_ATTACH_H
#define STRESS_ATTACH_H

/** attach_main() - `stress attach`, see attach.c */
int attach_main(int argc, char **argv);

#endif /* STRESS_ATTACH_H */
