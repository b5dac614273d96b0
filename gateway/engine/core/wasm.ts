/** The standard `WebAssembly`, as far as it is used here: the types of Node.js leave it out. */

/** Compiled code. It can be sent to other threads, which share what V8 makes of it. */
export interface WasmCode {
  readonly [Symbol.toStringTag]: 'WebAssembly.Module';
}

export interface WasmInstance {
  readonly exports: Readonly<Record<string, unknown>>;
}

declare const WebAssembly: {
  compile(bytes: Uint8Array): Promise<WasmCode>;
  readonly Instance: new (code: WasmCode, imports: object) => WasmInstance;
};

/** Rejects when the bytes are no WebAssembly. */
export function compileWasm(bytes: Uint8Array): Promise<WasmCode> {
  return WebAssembly.compile(bytes);
}

/** Runs code in a memory of its own. @param imports what it calls. */
export function instantiateWasm(code: WasmCode, imports: object): WasmInstance {
  return new WebAssembly.Instance(code, imports);
}
