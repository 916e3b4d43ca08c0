/* SPDX-License-Identifier: MPL-2.0 */
/*
 * audit - strict questions to the journal, for who takes absence for a fact.
 *
 * journal_read() serves from those that answer, and what is missing comes
 * later. Whoever deletes because nothing was found needs more: every volume of
 * the layout answers and counts, all that should hold a stream hold the same of
 * it, at most one manifest stands, and nobody else has anything beyond it.
 *
 * ERR_UNAVAILABLE: a volume is silent, failed or does not count yet; it is named.
 * ERR_STALE: the replicas differ, several manifests stand side by side, or
 * something changed meanwhile: ask again later.
 */
#ifndef AEROSTORE_ENGINE_JOURNAL_AUDIT_H
#define AEROSTORE_ENGINE_JOURNAL_AUDIT_H

#include "engine/journal/journal.h"

struct journal_agreement {
	struct vector vector;  /* all that any volume holds, or held under the manifest */
	struct id128 manifest; /* zero: there is none */
	struct id128 silent;   /* with ERR_UNAVAILABLE; zero: no volume in particular */
};

/* Zero before first use; finished by the caller, also after an error. */
WAITS MUST_USE enum err journal_agree(struct journal *journal, struct id128 stream,
				      struct journal_agreement *out);
void journal_agreement_finish(struct journal_agreement *agreement);

/*
 * Visits every blob that the stream names: those of its manifest and of the manifest's pages, and
 * of every entry outside its vector. Several times when it is named so. *silent as above.
 */
WAITS MUST_USE enum err journal_references(struct journal *journal, struct id128 stream,
					   enum err (*each)(void *context,
							    const struct blob_ref *blob),
					   void *context, struct id128 *silent);

/*
 * Of a stream that nobody reads or writes any more, such as a deleted account's: an empty manifest
 * that covers and dominates all that any volume holds of it, siblings, too; replicas truncate under
 * it as under any other. Needs no key. *emptied: false when it was empty before. What arrives all
 * the same, of a delivery that was under way, lies outside, and asks for another call. *silent as
 * above, with ERR_UNAVAILABLE.
 */
WAITS MUST_USE enum err journal_empty(struct journal *journal, struct id128 stream, bool *emptied,
				      struct id128 *silent);

/*
 * No entry of this process's writers is on its way in the stream, acknowledged or not: what is
 * appended from now on was not sealed before.
 */
bool journal_is_settled(const struct journal *journal, struct id128 stream);

#endif
