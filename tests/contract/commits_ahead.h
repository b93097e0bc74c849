/*
 * What an engine owes that answers facts_ahead(), for the test programs of those that do: a batch that was decided while the
 * one before it was being committed is written only if all that was presumed came true.
 */
#pragma once

#include "contract/database_place.h"

/* How many tests failed. */
int commits_ahead_run(struct database_place *place);
