/** The pure half of the door: what cores of other layers, and threads that do no I/O of their own, import. */
export { commonPoint, EpochTree, endOfTime, type Fork, forkSchema } from './history/epoch-tree.ts';
export { describeFloor, type Floor, floorOn, floorSchema, noFloor } from './history/floor.ts';
export { defaultGeometry, type Geometry, geometryOf, pgBytesSchema } from './history/geometry.ts';
export { type Expected, mismatch } from './identity/core/admission.ts';
export { describeSpan, type Expiry, judgeExpiry, warnBeforeMs } from './identity/core/expiry.ts';
export {
  describeIdentity,
  type Identity,
  identityIn,
  identityUri,
  isIdentityPart,
  type Role,
  roles,
} from './identity/core/identity.ts';
export { directoryOf, fileNames } from './identity/core/identity-files.ts';
export type {
  ChangeGoal,
  ChangeOutcome,
  ChangeProgress,
} from './members/core/member-change.ts';
export {
  configured,
  type Joining,
  type Member,
  type Membership,
  membershipSchema,
  nodesOf,
  whyNot,
} from './members/core/membership.ts';
export {
  areWitnesses,
  fewestIn,
  isFence,
  isReadQuorum,
  isWriteQuorum,
  nodesIn,
  pgclOf,
  type QuorumSets,
  setsOf,
} from './members/core/quorum-sets.ts';
export { compareVersions, type Skew, skewOf } from './process/core/version-skew.ts';
export { type Clocks, WallOffset } from './process/core/wall-offset.ts';
export { AppendTimes, slowLimits } from './quorum/core/append-times.ts';
export type { Recovered, RecoveryGoal } from './quorum/core/recovery.ts';
export type { RewindGoal, RewindOutcome } from './quorum/core/recovery-types.ts';
export * from './redo.ts';
export type {
  ImagesPutReply,
  ImagesReply,
  RepairReport,
  RetainedReply,
  RetainRequest,
  StatusReply,
} from './wire/core/messages.ts';
export { pathRequest } from './wire/core/path-request.ts';
