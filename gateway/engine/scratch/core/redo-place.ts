/** Redo that is too much for a message: a file of the engine's thread, open until all of it is durable or its reign is over. */
export interface RedoPlace {
  readonly fd: number;
  /** Of each stretch, in LSN order: protection group, bytes, CRC-32. */
  readonly stretches: Uint32Array;
}
