/*
 * Who is waited for by everybody asks the scheduler for short turns. Since Linux 6.12 a thread may say how long its turns
 * are, and one that wakes with shorter turns than those of the thread that is running takes its place at once, where it else
 * waits for the end of its turn: milliseconds, with a tick of 4 ms. What it gets in all stays the same. Older kernels know
 * nothing of it.
 *
 * Threads  Of the calling thread. Any.
 * Blocking Never.
 * Errors   None: without it, all is as before. A thread under a real-time policy is left alone.
 */
#pragma once

void short_slice_ask(void);
