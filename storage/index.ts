/** The door of storage: what the other layers may import. */

export { type Located, type LocateWish, locate, locateAll } from './client/locate.ts';
export type { NodeLinks } from './client/node-links.ts';
export type { PagesFetched } from './client/page-fetcher.ts';
export { probeNode } from './client/probe-node.ts';
export { type NodeStatus, RegionClient } from './client/region-client.ts';
export { type FetchSource, RegionFetch } from './client/region-fetch.ts';
export { type TailFrames, TailReader } from './client/tail-reader.ts';
export * from './core.ts';
export {
  type Credentials,
  IdentityError,
  openCredentials,
  tlsOptions,
  watchCredentials,
} from './identity/credentials.ts';
export { certificatesIn, readIdentity } from './identity/read-identity.ts';
export { checkIdentity, describeDialError, dialSecurely } from './identity/secure-dial.ts';
export { createSecureServer, refusalOf } from './identity/secure-server.ts';
export { every, everyBeside, monotonicMs, wallUs } from './process/clock.ts';
export { compileSooner, keepCompiledCode } from './process/compilation.ts';
export {
  addressSchema,
  clusterSchema,
  dataDirSchema,
  type IdentityFiles,
  identityFilesSchema,
  isLoopback,
  isLoopbackHost,
  isOffLoopback,
  listenSchema,
  type NodeAddress,
  nodeSchema,
  nodesSchema,
  parseAddress,
  refineIdentity,
  refineSecret,
  regionSchema,
  secretSchema,
  storageConfigSchema,
  strictShape,
} from './process/config.ts';
export {
  type ConfigProblem,
  type ConfigResult,
  type Derivation,
  invalidConfig,
  isRegionFile,
  loadConfig,
  loadProcessConfig,
  type PathProblem,
  parseConfig,
  placeProblems,
  type RegionPart,
  showProblem,
} from './process/config-file.ts';
export type { ConfigPath } from './process/config-text.ts';
export {
  type DirectoryLock,
  heldMessage,
  holderFileName,
  type LockHolder,
  lockDirectory,
  lockFileName,
  lockHolder,
} from './process/directory-lock.ts';
export { PacedTimer } from './process/paced-timer.ts';
export {
  identify,
  readPidFile,
  removePidFile,
  signalProcess,
  stopProcess,
  waitForExit,
  writePidFile,
} from './process/process-identity.ts';
export { returnMemoryAtRest } from './process/rest-memory.ts';
export { machine, pause, type Runtime, type Timer } from './process/runtime.ts';
export type { AppendFacts } from './quorum/append-facts.ts';
export { ChangeDriver } from './quorum/change-driver.ts';
export type { AppendEnd, DriverPlace } from './quorum/quorum-driver.ts';
export { type Offered, ReceiverDriver } from './quorum/receiver-driver.ts';
export type { RecoveryOptions, RecoveryResult } from './quorum/recovery-driver.ts';
export { runRecovery } from './quorum/recovery-driver.ts';
export { WriterDriver } from './quorum/writer-driver.ts';
export {
  besideFile,
  dataDirOf,
  filesBeside,
  identityFilesOf,
  nodeAddresses,
  nodesPerRegion,
  originOf,
  readSecret,
  regionFrame,
  type SecretFiles,
  sharedConfig,
  storagePart,
} from './region/region-file.ts';
