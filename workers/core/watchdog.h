/* watchdog — a loop that does not turn ends the process (HAZARDS H6: nobody else notices; polling
 * any queue keeps a member in its group). The supervisor starts it anew, and whatever it held is
 * read from the rows.
 *
 * No thread: an alarm of the kernel that each turn puts off. The first one that rings only asks
 * for a turn within a few seconds more, because a process that was stopped and goes on (SIGSTOP,
 * a frozen machine) finds an old alarm waiting; the second is an abort. Where systemd watches too
 * (WatchdogSec=, $NOTIFY_SOCKET), the same turns tell it. One per process. */
#pragma once

#include "core/base.h"

/* From now on; 0: only systemd's, if it asks. */
void watchdog_start(int64_t stall_ms);
/* The loop has turned. Costs a system call once a second. */
void watchdog_turned(int64_t mono_us);
