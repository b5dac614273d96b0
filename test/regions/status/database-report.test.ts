import { expect, it } from 'vitest';
import { openBranches } from '../../../regions/status/core/database-report.ts';

it('branches in a region are those its gateways have opened, awake or at rest, with the one that writes each', () => {
  const database = (branch: string, change: object = {}) => ({
    branch,
    epoch: 3,
    vdl: 9,
    awake: true,
    writes: false,
    ...change,
  });
  const gateways = [
    {
      gateway: 'g1',
      databases: [database('main', { writes: true }), database('qa', { awake: false, writes: true })],
    },
    { gateway: 'g2', databases: [database('main'), database('qa'), database('dev')] },
    { gateway: 'older' },
  ];
  expect(openBranches(gateways)).toEqual({
    openBranches: [
      { branch: 'dev', awake: ['g2'], resting: [], writer: null },
      { branch: 'qa', awake: ['g2'], resting: ['g1'], writer: 'g1' },
    ],
  });
  expect(openBranches([])).toEqual({});
});
