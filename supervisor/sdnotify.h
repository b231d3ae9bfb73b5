/* sdnotify.h - tell the service manager how we are (the sd_notify protocol: datagrams of NAME=value
 * lines to the socket in $NOTIFY_SOCKET). Without one every call does nothing. Never blocks; a
 * message that cannot be sent is lost, as the protocol expects. */
#ifndef REMUDA_SUPERVISOR_SDNOTIFY_H
#define REMUDA_SUPERVISOR_SDNOTIFY_H
#include <stdint.h>

/* Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, and takes them out of the environment. */
void sdnotify_open(void);
void sdnotify_close(void);
/* State is one or more lines, "READY=1" or "STOPPING=1\nSTATUS=...". */
void sdnotify_send(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* "RELOADING=1" with the monotonic time that Type=notify-reload wants; READY=1 ends it. */
void sdnotify_reloading(void);
/* How often WATCHDOG=1 must be sent, half of what the manager allows; 0: it does not watch. */
uint64_t sdnotify_watchdog_ms(void);

#endif
