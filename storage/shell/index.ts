/** The door to the storage shell: what gateways and agents use of a region's nodes. */
export type { AppendAck, AppendFacts } from './append-facts.ts';
export { type PagesFetched, type PagesWanted, pageFetchLimits } from './page-fetcher.ts';
export { type Offered, ReceiverDriver, type ReceiverDriverOptions } from './receiver-driver.ts';
export { type RecoveryOptions, type RecoveryResult, runRecovery } from './recovery-driver.ts';
export {
  type NodeStatus,
  type NodeWatcher,
  RegionClient,
  type RegionClientOptions,
} from './region-client.ts';
export type { Answer, NodeTarget, Unanswered } from './storage-client.ts';
export { type TailFrames, TailReader, type TailReaderOptions, tailLimits } from './tail-reader.ts';
export { WriterDriver, type WriterDriverOptions } from './writer-driver.ts';
