/** The door to the pure storage core. */
export * from './bytes.ts';
export * from './epoch-tree.ts';
export * from './frame.ts';
export * from './ids.ts';
export * from './limits.ts';
export * from './message-codec.ts';
export * from './messages.ts';
export * from './node.ts';
export * from './node-events.ts';
export * from './page-index.ts';
export * from './quorum.ts';
export * from './quorum-writer.ts';
export * from './record.ts';
export * from './recovery.ts';
export * from './segment.ts';
export * from './survey.ts';
export * from './volume.ts';
