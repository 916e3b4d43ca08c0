/* SPDX-License-Identifier: MPL-2.0 */
/*
 * verdict - what an oracle says of something that a client saw.
 */
#ifndef AEROSTORE_TESTS_SIM_WORKLOAD_VERDICT_H
#define AEROSTORE_TESTS_SIM_WORKLOAD_VERDICT_H

#define VERDICT_LIST(X)                                                                            \
	X(FINE, "as promised")                                                                     \
	X(UNKNOWN, "a message that nobody sent there")                                             \
	X(WRONG_BYTES, "a message with other bytes than were delivered")                           \
	X(TWICE, "one delivery appears as two messages")                                           \
	X(MISSING, "an acknowledged message is gone")                                              \
	X(RETURNED, "a message whose deletion was acknowledged is back")                           \
	X(UID_REUSED, "one UID named two messages")                                                \
	X(UID_DISORDER, "UIDs of a listing are not ascending")                                     \
	X(UID_BELOW, "a UID appeared below a UIDNEXT that was told")                               \
	X(MODSEQ_BELOW, "HIGHESTMODSEQ went back, or is below a message's")                        \
	X(CHANGE_MISSED, "changes since a modseq left out a change")                               \
	X(VALIDITY_MOVED, "UIDVALIDITY changed")                                                   \
	X(DIVERGED, "replicas at rest show different states")

enum verdict {
#define X(name, text) VERDICT_##name,
	VERDICT_LIST(X)
#undef X
};

/* "UID_REUSED". Static storage. */
const char *verdict_name(enum verdict verdict);
const char *verdict_text(enum verdict verdict);

#endif
