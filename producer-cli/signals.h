/* signals — Ctrl-C asks to stop, and what runs stops at the next good moment. */
#pragma once

#include "core/base.h"

/* From now on SIGINT and SIGTERM are noted instead of ending the process; a second one ends it. */
void signals_watch(void);
bool signals_stopped(void);
/* As if one had come. */
void signals_raise(void);
/* Waits so long or until one comes; whether one came. */
bool signals_wait(int64_t ms);
