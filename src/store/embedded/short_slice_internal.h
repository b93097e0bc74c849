/*
 * Who is waited for by everybody asks the scheduler for short turns. Since Linux 6.12 a thread may say how long its turns are, and
 * one that wakes with shorter turns than the one that is running need not wait for the end of that one's (milliseconds, with a
 * tick of 4 ms): it is preempted at once. What it gets in all stays the same. Kernels before know nothing of it.
 *
 * Threads  Of the calling thread. Any.
 * Blocking Never.
 * Errors   None: without it, all is as before. A thread under a real-time policy is left alone.
 */
#pragma once

void short_slice_ask(void);
