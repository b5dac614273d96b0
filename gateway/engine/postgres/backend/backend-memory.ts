/**
 * The memory of a PostgreSQL that was loaded and has not begun. A restart puts it back, which is ten times as fast as loading
 * another instance: the compiled code, its table of functions and its libraries stay.
 */

/** What is used of emscripten's module. */
export interface ModuleMemory {
  readonly wasmMemory: { readonly buffer: ArrayBufferLike };
  stackSave(): number;
  stackRestore(pointer: number): void;
}

/** Granularity in which blocks that are zero are told from others. */
const blockBytes = 64 * 1024;
const zeroBlock = Buffer.alloc(blockBytes);

export class BackendMemory {
  private readonly blocks = new Map<number, Uint8Array>();
  private readonly stack: number;

  /** Keeps what the memory holds now: some MiB that are not zero. */
  constructor(module: ModuleMemory) {
    this.stack = module.stackSave();
    for (const { at, block, isZero } of blocksOf(module)) if (!isZero) this.blocks.set(at, block.slice());
  }

  /** Puts it back. What has grown stays as large and is zero. */
  restore(module: ModuleMemory): void {
    for (const { at, block, isZero } of blocksOf(module)) {
      const kept = this.blocks.get(at);
      if (kept !== undefined) block.set(kept);
      else if (!isZero) block.fill(0); // Blocks nobody has touched take no memory, and are not to.
    }
    module.stackRestore(this.stack);
  }
}

function* blocksOf({ wasmMemory }: ModuleMemory): Generator<{
  readonly at: number;
  readonly block: Uint8Array;
  readonly isZero: boolean;
}> {
  const memory = new Uint8Array(wasmMemory.buffer);
  for (let at = 0; at < memory.length; at += blockBytes) {
    const block = memory.subarray(at, at + blockBytes);
    yield { at, block, isZero: zeroBlock.equals(block) };
  }
}
