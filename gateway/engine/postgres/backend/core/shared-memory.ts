/**
 * Makes a WebAssembly module import its memory as a shared one. What PostgreSQL looks at to see whether it is to stop then lies in
 * memory that any thread can write, at any moment. Code is the same either way: a module says in its imports alone whether it takes
 * memory that others see, and shared memory is to have a maximum.
 *
 * The binary format is that of WebAssembly 1.0; numbers are LEB128.
 */

const headerBytes = 8;
const section = { imports: 2 } as const;
const kind = { function: 0, table: 1, memory: 2, global: 3, tag: 4 } as const;
const hasMaximum = 1;
const shared = 3;

/** Why a module cannot be made so. */
export class UnknownModule extends Error {
  override readonly name = 'UnknownModule';
}

/**
 * @param pagesMax the maximum of the memory that it will be given, in pages of 64 KiB. @returns the module with its memory imports shared;
 * the same bytes where it imports none, or imports it so already. @throws UnknownModule when the bytes are not what is expected
 */
export function withSharedMemory(bytes: Uint8Array, pagesMax: number): Uint8Array {
  const reader = new Reader(bytes, headerBytes);
  while (!reader.isEmpty) {
    const begin = reader.at;
    const id = reader.byte();
    const length = reader.number();
    const body = reader.take(length);
    if (id !== section.imports) continue;
    const imports = sharedImports(body, pagesMax);
    if (imports === null) return bytes;
    const head = Uint8Array.of(section.imports, ...leb(imports.length));
    const parts = [bytes.subarray(0, begin), head, imports, bytes.subarray(reader.at)];
    return new Uint8Array(Buffer.concat(parts));
  }
  return bytes;
}

/** @returns the section's new body, null when it stays as it is */
function sharedImports(body: Uint8Array, pagesMax: number): Uint8Array | null {
  const reader = new Reader(body, 0);
  const parts: Uint8Array[] = [];
  let copied = 0;
  for (let left = reader.number(); left > 0; left--) {
    reader.take(reader.number());
    reader.take(reader.number());
    const what = reader.byte();
    if (what !== kind.memory) {
      skip(reader, what);
      continue;
    }
    const at = reader.at;
    const flags = reader.byte();
    const minimum = reader.number();
    if ((flags & hasMaximum) !== 0) reader.number();
    if (flags === shared) continue;
    if ((flags & ~hasMaximum) !== 0) throw new UnknownModule(`a memory with flags ${flags} is imported`);
    parts.push(body.subarray(copied, at), Uint8Array.of(shared, ...leb(minimum), ...leb(pagesMax)));
    copied = reader.at;
  }
  if (parts.length === 0) return null;
  return new Uint8Array(Buffer.concat([...parts, body.subarray(copied)]));
}

function skip(reader: Reader, what: number): void {
  switch (what) {
    case kind.function:
      reader.number();
      return;
    case kind.table: {
      reader.byte();
      const flags = reader.byte();
      reader.number();
      if ((flags & hasMaximum) !== 0) reader.number();
      return;
    }
    case kind.global:
      reader.take(2);
      return;
    case kind.tag:
      reader.byte();
      reader.number();
      return;
    default:
      throw new UnknownModule(`an import of kind ${what}`);
  }
}

class Reader {
  at: number;
  private readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array, at: number) {
    this.bytes = bytes;
    this.at = at;
  }

  get isEmpty(): boolean {
    return this.at >= this.bytes.length;
  }

  byte(): number {
    const byte = this.bytes[this.at++];
    if (byte === undefined) throw new UnknownModule('it ends too early');
    return byte;
  }

  number(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
  }

  take(length: number): Uint8Array {
    if (this.at + length > this.bytes.length) throw new UnknownModule('it ends too early');
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }
}

function leb(value: number): number[] {
  const bytes: number[] = [];
  let left = value;
  for (; left >= 128; left = Math.floor(left / 128)) bytes.push((left & 127) | 128);
  return [...bytes, left];
}
