/** Defects of a region's agent. */
import { setTimeout as sleep } from 'node:timers/promises';
import { LossCollector, type LossReport } from '../../../regions/moves/core/loss-report.ts';
import { Shipper, type ShipperEffect } from '../../../regions/replication/core/shipper.ts';
import { Receiving } from '../../../regions/replication/receiving.ts';
import { Shipping } from '../../../regions/replication/shipping.ts';
import { RegionFetch } from '../../../storage/client/region-fetch.ts';
import type { FetchedReply, FetchRequest } from '../../../storage/wire/core/messages.ts';
import { isPlanted, replaceMethod } from './planted.ts';

const lateMs = 250;

replaceMethod<RegionFetch, [FetchRequest], Promise<FetchedReply | null>>(
  RegionFetch,
  'fetch',
  (was) =>
    async function (request) {
      const reply = await was.call(this, request);
      if (reply !== null && reply.frames.length > 0 && isPlanted('ships-late')) await sleep(lateMs);
      return reply;
    },
);

replaceMethod<Shipper, Parameters<Shipper['step']>, readonly ShipperEffect[]>(
  Shipper,
  'step',
  (was) =>
    function (...args) {
      const effects = was.apply(this, args);
      return isPlanted('skip-replication') ? effects.filter(({ kind }) => kind !== 'ship') : effects;
    },
);

replaceMethod<Shipping, [], ReturnType<Shipping['lag']>>(
  Shipping,
  'lag',
  (was) =>
    function () {
      const lags = was.call(this);
      return isPlanted('hides-lag') ? lags.map((lag) => ({ ...lag, lagMs: 0, lagBytes: 0 })) : lags;
    },
);

replaceMethod<Receiving, [unknown], void>(
  Receiving,
  'keep',
  (was) =>
    function (redo) {
      if (!isPlanted('stores-nothing')) was.call(this, redo);
    },
);

replaceMethod<LossCollector, Parameters<LossCollector['report']>, LossReport>(
  LossCollector,
  'report',
  (was) =>
    function (about) {
      const report = was.call(this, about);
      if (!isPlanted('hide-losses')) return report;
      return { ...report, count: Math.max(0, report.count - 1), commits: report.commits.slice(1) };
    },
);
