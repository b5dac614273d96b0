/** The admin API as the page meets it: the very schemas that a gateway answers by, as types alone. */
import type { Described } from '../../../../regions/core.ts';

export type LiveEvent = Described<'LiveEvent'>;
export type Status = Described<'Status'>;
export type RegionStatus = Status['regions'][number];
export type Node = RegionStatus['nodes'][number];
export type Readiness = Described<'Readiness'>;
export type RegionReadiness = Readiness['regions'][number];
export type Operation = Described<'Operation'>;
export type Losses = Described<'Losses'>;
export type LossReport = Described<'LossReport'>;
export type Policy = Described<'Policy'>;
export type Drill = Described<'Drill'>;
export type Drills = Described<'Drills'>;
export type DrillSummary = Drills['drills'][number];
export type DrillReport = NonNullable<Drill['report']>;
