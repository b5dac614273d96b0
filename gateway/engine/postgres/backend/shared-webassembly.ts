/**
 * Gives the WebAssembly of this thread a memory that other threads see, see `core/shared-memory.ts`, and no timers: one that a session has
 * set would go off at whoever runs then, and end the backend of all. PGlite takes a compiled module
 * but no memory, and loads libraries by itself, so what it calls for both is replaced, in this thread and for good: whatever it loads
 * has to import the same memory. Nothing else in such a thread imports one.
 */
import { withSharedMemory } from './core/shared-memory.ts';

/** What PGlite asks for, 2 GiB in pages of 64 KiB. */
const pagesMax = 32_768;

/** What emscripten gives a module to set one with. */
const timer = '_setitimer_js';

type Bytes = ArrayBuffer | ArrayBufferView;
type Made<A extends readonly unknown[]> = new (...args: A) => object;

interface MemoryDescriptor {
  readonly initial: number;
  readonly maximum?: number;
}

/** What is replaced of `WebAssembly`. */
interface Loading {
  Memory: Made<[MemoryDescriptor & { readonly shared?: boolean }]>;
  Module: Made<[Bytes]>;
  instantiate: (source: Bytes | object, imports?: object) => Promise<unknown>;
}

let isShared = false;

/** To be called before PGlite is loaded; once is enough. */
export function shareMemory(): void {
  if (isShared) return;
  isShared = true;
  const { WebAssembly: loading } = globalThis as unknown as { readonly WebAssembly: Loading };
  const { Memory, Module, instantiate } = loading;
  loading.Memory = new Proxy(Memory, {
    construct: (target, [descriptor]: [MemoryDescriptor]) =>
      new target({ ...descriptor, maximum: descriptor.maximum ?? pagesMax, shared: true }),
  });
  loading.Module = new Proxy(Module, {
    construct: (target, [bytes]: [Bytes]) => new target(shared(bytes)),
  });
  loading.instantiate = (source, imports) => {
    stopTimers(imports);
    return instantiate(source instanceof Module ? source : shared(source as Bytes), imports);
  };
}

/** Times are kept by whoever gives PostgreSQL its work. */
function stopTimers(imports: object = {}): void {
  for (const functions of Object.values(imports) as Record<string, unknown>[])
    if (timer in functions) functions[timer] = () => 0;
}

function shared(bytes: Bytes): Uint8Array {
  const view = ArrayBuffer.isView(bytes)
    ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    : new Uint8Array(bytes);
  return withSharedMemory(view, pagesMax);
}
