/* SPDX-License-Identifier: Apache-2.0 */
#include "core/admit.h"

#include <assert.h>

void admit_init(struct admit *admit, const struct admit_config *config)
{
    assert(config->last_ms >= config->target_ms);

    *admit = (struct admit){.config = *config};
}

static void note_peak(struct admit *admit, uint32_t waited_ms, uint64_t now_ms)
{
    if (now_ms - admit->peak_ms >= ADMIT_PEAK_MS) {
        bool next = now_ms - admit->peak_ms < 2 * (uint64_t)ADMIT_PEAK_MS;
        admit->old_peak = next ? admit->peak : 0;
        admit->peak = 0;
        admit->peak_ms = now_ms;
    }
    if (waited_ms > admit->peak)
        admit->peak = waited_ms;
}

uint32_t admit_oc_percent(const struct admit *admit, uint64_t now_ms)
{
    uint64_t steps = (now_ms - admit->stepped_ms) / admit->config.interval_ms;
    uint64_t less = steps > 1 ? (steps - 1) * ADMIT_OC_DOWN : 0; /* nobody came, nobody waits */

    return admit->oc_percent > less ? admit->oc_percent - (uint32_t)less : 0;
}

/** Additive steps both ways: a peer's share moves slowly, and its answers come late. */
static void step_oc(struct admit *admit, uint64_t now_ms)
{
    uint32_t percent = admit_oc_percent(admit, now_ms);

    if (now_ms - admit->stepped_ms < admit->config.interval_ms)
        return;
    if (admit->overloaded && admit->waited_ms > admit->config.target_ms)
        percent = percent + ADMIT_OC_UP < ADMIT_OC_MAX ? percent + ADMIT_OC_UP : ADMIT_OC_MAX;
    else
        percent = percent > ADMIT_OC_DOWN ? percent - ADMIT_OC_DOWN : 0;
    admit->oc_percent = percent;
    admit->stepped_ms = now_ms;
}

void admit_note(struct admit *admit, uint32_t waited_ms, uint64_t now_ms)
{
    const struct admit_config *config = &admit->config;
    uint64_t quiet_ms = now_ms - admit->noted_ms;
    bool gap = quiet_ms > ADMIT_GAP_MS && quiet_ms > config->interval_ms;

    note_peak(admit, waited_ms, now_ms);
    if (gap && waited_ms < quiet_ms) /* meanwhile the queue was empty */
        admit->overloaded = false;
    admit->waited_ms = waited_ms;
    admit->noted_ms = now_ms;
    if (admit->overloaded) {
        admit->overloaded = waited_ms > config->target_ms / 2;
        admit->above = false;
    } else if (waited_ms <= config->target_ms) {
        admit->above = false;
    } else if (!admit->above || gap) {
        admit->above = true;
        admit->above_ms = now_ms;
    } else {
        admit->overloaded = now_ms - admit->above_ms >= config->interval_ms;
    }
    step_oc(admit, now_ms);
}

bool admit_refuses(const struct admit *admit, enum admit_class class)
{
    uint32_t limit_ms = class == ADMIT_LAST ? admit->config.last_ms : admit->config.target_ms;

    return admit->overloaded && admit->waited_ms > limit_ms;
}

uint32_t admit_peak_ms(const struct admit *admit, uint64_t now_ms)
{
    uint64_t age_ms = now_ms - admit->peak_ms;

    if (age_ms >= 2 * (uint64_t)ADMIT_PEAK_MS)
        return 0;
    if (age_ms >= ADMIT_PEAK_MS)
        return admit->peak;
    return admit->peak > admit->old_peak ? admit->peak : admit->old_peak;
}

bool admit_is_overloaded(const struct admit *admit, uint64_t now_ms)
{
    return admit->overloaded && now_ms - admit->noted_ms < ADMIT_PEAK_MS;
}
