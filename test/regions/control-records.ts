/** Regions, holders and a shorthand for tests of the control record. */
import type { ControlRecord, Holder, Transition } from '../../regions/control/core/control-record.ts';
import { regionId } from '../../storage/redo/ids.ts';

export const us = regionId('us-east-1');
export const eu = regionId('eu-west-1');
export const g1: Holder = { gateway: 'g1', incarnation: 'a' };
export const g2: Holder = { gateway: 'g2', incarnation: 'c' };

/** The record that follows. @throws Error when the transition was refused. */
export function next(transition: Transition): ControlRecord {
  if (transition.kind !== 'next') throw new Error(`refused: ${transition.code}: ${transition.reason}`);
  return transition.record;
}
