/**
 * What of the pure half of the door an engine's thread needs: redo, its names and its bounds, and the clock that stamps it. Each thread
 * loads its code anew, so nothing is here that needs a package: schemas alone take a thread a sixth of its start.
 */
export { InFlight } from './process/core/in-flight.ts';
export { wallClock } from './process/core/wall-offset.ts';
export { concatBytes, viewOf } from './redo/bytes.ts';
export { framePayload, type ReceivedFrame, splitFrames } from './redo/frame.ts';
export {
  ascending,
  type BranchName,
  branchName,
  type Epoch,
  epoch,
  genesisEpoch,
  isBranchName,
  type Lsn,
  lsn,
  mainBranch,
  maxLsn,
  minLsn,
  type NodeId,
  type PageNo,
  type PgId,
  pageNo,
  pgId,
  type RegionId,
  regionId,
  unreachable,
  zeroLsn,
} from './redo/ids.ts';
export { nodeLimits, quorumLimits, redoLimits, volumeLimits } from './redo/limits.ts';
export { MtrStream, type MtrStretch, type StoredMtr } from './redo/mtr-stream.ts';
export {
  applyChange,
  type Commit,
  commitBytesMax,
  decodeRecords,
  diffPage,
  encodeMtr,
  type Mtr,
  type MtrRun,
  type PageChange,
  type PositionedRecord,
  recordBytes,
  type Shrink,
} from './redo/record.ts';
export { lastCplIn, RecordCursor } from './redo/record-cursor.ts';
export { describeEngine, engineOf, postgresMagic, type VolumeEngine } from './redo/volume-engine.ts';
