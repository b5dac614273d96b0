import { join } from 'node:path';
import { defineConfig } from 'vitest/config';
import { LongestFirst } from './longest-first.ts';

// What Node.js has compiled is taken from here by the next start of the same file. Tests start hundreds of processes, and without
// this most of what they take is compilation.
process.env.NODE_COMPILE_CACHE ??= join(import.meta.dirname, '../node_modules/.cache/compiled');

export default defineConfig({
  test: {
    root: '.',
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/global-setup.ts'],
    // More files at a time than cores: many tests wait for real processes, leases and elections.
    maxWorkers: 4,
    sequence: { sequencer: LongestFirst },
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // Node.js imports our files as it does in production. Vitest's own way of it makes a simulation a third slower.
    experimental: { viteModuleRunner: false },
    // On a shared CI machine a real process may be starved past a test's patience once; a second failure is a failure.
    // Suites that run from seeds allow none (`retry: 0`): one seed that fails is a bug, however rare.
    retry: process.env.CI === undefined ? 0 : 1,
    reporters: ['default'],
  },
});
