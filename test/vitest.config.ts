import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    root: '.',
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/global-setup.ts'],
    // More files at a time than cores: many tests wait for real processes, leases and elections.
    maxWorkers: 4,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // On a shared CI machine a real process may be starved past a test's patience once; a second failure is a failure.
    // Suites that run from seeds allow none (`retry: 0`): one seed that fails is a bug, however rare.
    retry: process.env.CI === undefined ? 0 : 1,
    reporters: ['default'],
  },
});
