/* SPDX-License-Identifier: MPL-2.0 */
/*
 * fault - what may go wrong with a disk, when it does, and how often it did.
 *
 * Each fault of each disk has a chance of its own at every step to which it
 * applies, and can be planned for the n-th such step instead. Faults that
 * damage data, so that it must come from elsewhere, strike by chance only
 * where an atlas allows; planned ones always.
 *
 * An atlas is a group of disks that tolerates the damage of `tolerated` of
 * them at one time. INV: while only chance strikes, no more are damaged, so
 * that any loss of data is a bug of the code under test. Damage lasts until
 * whoever drives the world knows that the disk holds everything again, and
 * says sim_repaired().
 */
#ifndef AEROSTORE_TESTS_SIM_FAULT_H
#define AEROSTORE_TESTS_SIM_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/sim/random.h"

struct sim_disk;

/* What one operation does to a disk in one instant. */
enum sim_step {
	SIM_STEP_READ = 1,
	SIM_STEP_WRITE = 2, /* into the page cache: all writes of a commit */
	SIM_STEP_SYNC = 4,  /* of one file or directory */
	SIM_STEP_NAME = 8,  /* open, rename, unlink, stat and the rest */
};
#define SIM_STEP_ANY 15

/* X(name, the steps to which it applies, whether it damages data) */
#define SIM_FAULT_LIST(X)                                                                          \
	X(CRASH, SIM_STEP_ANY, false)	    /* of the node, with this step under way */            \
	X(SLOW, SIM_STEP_ANY, false)	    /* this step takes a hundred times as long */          \
	X(READ_ERROR, SIM_STEP_READ, false) /* ERR_IO, this time */                                \
	X(NO_SPACE, SIM_STEP_WRITE, false)  /* ERR_NOSPACE, where new blocks are needed */         \
	X(LOST_WRITE, SIM_STEP_SYNC, true)  /* dirty pages never reach the disk: no error */       \
	X(MISDIRECTED_WRITE, SIM_STEP_SYNC,                                                        \
	  true)				   /* a dirty page goes to another place: no error */      \
	X(BIT_ROT, SIM_STEP_ANY, true)	   /* bits of a durable page of the disk flip */           \
	X(UNREADABLE, SIM_STEP_READ, true) /* pages give ERR_IO until they are written again */    \
	X(SYNC_FAILURE, SIM_STEP_SYNC,                                                             \
	  true)				/* ERR_IO; pages turn clean, as a crash leaves them */     \
	X(UNLINKED, SIM_STEP_ANY, true) /* the disk's directory goes as by rm -rf */               \
	X(DEAD, SIM_STEP_ANY, true)	/* the device goes: no path, ERR_IO on open files */

enum sim_fault {
#define X(name, steps, damages) SIM_FAULT_##name,
	SIM_FAULT_LIST(X)
#undef X
		SIM_FAULT_COUNT, /* how many: not one of them */
};

struct sim_fault_plan {
	enum sim_fault fault;
	unsigned steps;
	uint64_t countdown;
};

#define SIM_PLAN_LIMIT 16

struct sim_faults {
	uint32_t per_million[SIM_FAULT_COUNT];
	uint64_t counts[SIM_FAULT_COUNT]; /* that struck */
	struct sim_fault_plan plans[SIM_PLAN_LIMIT];
	size_t plan_count;
};

#define SIM_ATLAS_LIMIT 64

struct sim_atlas {
	struct sim_disk *disks[SIM_ATLAS_LIMIT];
	size_t disk_count, tolerated;
};

const char *sim_fault_name(enum sim_fault fault);
/* The n-th of these steps on the disk from now on, from 1, suffers the fault. */
void sim_plan_fault(struct sim_disk *disk, unsigned steps, uint64_t n, enum sim_fault fault);
/* Ends all chances and plans; damage done stays. */
void sim_stop_faults(struct sim_disk *disk);
/*
 * Which faults strike this step: a set of bits 1u << enum sim_fault. Counts them and marks the
 * disk as damaged.
 */
unsigned sim_roll_faults(struct sim_disk *disk, enum sim_step step, struct sim_random *random);

/* A disk belongs to one atlas at most. */
void sim_atlas_add(struct sim_atlas *atlas, struct sim_disk *disk);
size_t sim_atlas_damaged(const struct sim_atlas *atlas);
/* True for a disk that is damaged already, or in no atlas. */
bool sim_may_damage(const struct sim_disk *disk);
void sim_damaged(struct sim_disk *disk);
void sim_repaired(struct sim_disk *disk);

#endif
