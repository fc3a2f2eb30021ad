import { defineConfig } from 'vitest/config'
// @ts-expect-error: Vite, which reads this file by itself, asks for the extension that the page's code is written without
import { testTimeout, waitTimeout } from './timeouts.ts'

// One stack and one browser at a time: the machine is small, and what is measured is the page.
export default defineConfig({
  test: {
    include: ['browser/**/*.test.ts'],
    globalSetup: ['browser/setup.ts'],
    environment: 'node',
    fileParallelism: false,
    testTimeout,
    hookTimeout: testTimeout,
    // The stack ends then, with its stores: cut short it would leave its folder behind.
    teardownTimeout: waitTimeout,
    expect: { poll: { timeout: waitTimeout, interval: 100 } },
  },
})
