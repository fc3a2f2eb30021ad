import { defineConfig } from 'vitest/config'

// One stack and one browser at a time: the machine is small, and what is measured is the page.
export default defineConfig({
  test: {
    include: ['browser/**/*.test.ts'],
    globalSetup: ['browser/setup.ts'],
    environment: 'node',
    fileParallelism: false,
    testTimeout: 90_000,
    hookTimeout: 90_000,
    // A person waits as long; a slow machine longer.
    expect: { poll: { timeout: 30_000, interval: 100 } },
  },
})
