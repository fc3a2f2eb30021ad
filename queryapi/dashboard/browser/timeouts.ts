// How long is waited for what does not come, in milliseconds. None of these is a claim: what has to be there within a
// time is measured (`timed` in stack.ts), and compared with the time that is claimed. They are for a machine with twenty
// programs for each of its processors, on which everything takes up to ten times as long; a quiet one never gets near.

/** waitTimeout is for one thing, which a quiet machine has within seconds: four times what Playwright gives it. */
export const waitTimeout = 120_000
/** slowTimeout is for what comes by itself, up to half a minute later on a quiet machine, or only by way of many others. */
export const slowTimeout = 180_000
/** listTimeout is for scrolling through 5,000 rows, of which a page comes after another. */
export const listTimeout = 240_000
/** testTimeout is for a test or a hook, most of which wait a dozen times and each time for little. */
export const testTimeout = 400_000
/** longTestTimeout is for one that waits for several things that come late, or does very much. */
export const longTestTimeout = 600_000
