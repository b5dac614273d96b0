/** Defects of a storage node. */
import { StorageNode } from '../../../storage/node/core/node.ts';
import type { NodeEffect, NodeEvent } from '../../../storage/node/core/node-events.ts';
import { isPlanted, replaceMethod } from './planted.ts';

replaceMethod<StorageNode, [NodeEvent, number], readonly NodeEffect[]>(
  StorageNode,
  'step',
  (was) =>
    function (event, nowMs) {
      const isOld =
        event.kind === 'request' &&
        event.request.kind === 'append' &&
        event.request.authority < this.sealed &&
        isPlanted('ignore-seal');
      if (!isOld) return was.call(this, event, nowMs);
      return was.call(this, { ...event, request: { ...event.request, authority: this.sealed } }, nowMs);
    },
);
