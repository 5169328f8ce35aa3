import { defineConfig } from 'vitest/config'

/** CI counts the tests of several runs: each writes its own report. */
const report = process.env['SHIFTWORK_TEST_REPORT']

export default defineConfig({
  test: {
    ...(report !== undefined && {
      reporters: ['default', 'json'],
      outputFile: { json: `${report}-${process.pid}.json` },
    }),
    projects: [
      // pure, but on a machine that is busy with other things
      { test: { name: 'unit', include: ['test/unit/**/*.test.ts'], environment: 'node', testTimeout: 30_000 } },
      {
        test: {
          name: 'process',
          include: ['test/process/**/*.test.ts'],
          environment: 'node',
          pool: 'forks',
          testTimeout: 180_000,
          hookTimeout: 60_000,
        },
      },
    ],
    // real processes under load, which wait for much of their time: with more files at a time they would measure the machine
    maxWorkers: 3,
  },
})
