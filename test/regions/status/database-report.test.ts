import { expect, it } from 'vitest';
import { openBranches } from '../../../regions/status/core/database-report.ts';
import { newsOf } from '../../../regions/status/core/gateway-news.ts';

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

it('a gateway says whether main rests there and how many threads read it, and an older one says neither', () => {
  const old = {
    v: 1,
    region: 'eu-west-1',
    gateway: 'g1',
    address: '127.0.0.1:1',
    pid: 7,
    phase: 'reading',
    epoch: null,
    ready: true,
    vdl: 9,
  } as const;
  const news = { name: 'g1', address: '127.0.0.1:1', phase: 'reading', ready: true, vdl: 9, pid: 7 };
  expect(newsOf(old)).toEqual(news);
  const readers = { threads: 1, busy: 0, most: 4 };
  const main = { branch: 'main', epoch: 3, vdl: 9, awake: false, writes: false };
  const dev = { ...main, branch: 'dev', awake: true };
  expect(newsOf({ ...old, databases: [dev, main] })).toEqual({ ...news, awake: false });
  expect(newsOf({ ...old, databases: [{ ...main, readers }] })).toEqual({ ...news, awake: false, readers });
});
