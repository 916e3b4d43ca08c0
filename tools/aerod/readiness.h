/* SPDX-License-Identifier: MPL-2.0 */
/*
 * readiness - tells the service manager what aerod is at: the protocol of
 * sd_notify(3), a datagram to the socket that NOTIFY_SOCKET names. Without that
 * variable, or when nobody is there, nothing happens.
 */
#ifndef AEROSTORE_TOOLS_AEROD_READINESS_H
#define AEROSTORE_TOOLS_AEROD_READINESS_H

/* `state`: "READY=1", "STOPPING=1". */
void readiness_tell(const char *state);

#endif
